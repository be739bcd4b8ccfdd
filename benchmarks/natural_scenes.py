"""NLL of SCALOR, VRNN and the sequential VAE on people seen from a building, on clips that training did not see.

All models see the same window, as ``scalor train`` proposes it, with the same σ, and train for the same time on 14
clips of UCSD Ped2; the other two are scored. The clips are not part of this project (research use only); pass the
folder with Train001.mkv … Train016.mkv::

    python benchmarks/natural_scenes.py CLIPS --out runs/natural --minutes 14

Trainings already in the folder continue, or are scored again. Each is recorded for the tables of the documentation
(``make tables``). ``natural_scenes.png`` shows a held-out clip as each model draws it.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from ped2 import HELD_OUT
from records import write
from tables import NATURAL, OF_NATURAL, RECORDS
from torch import Tensor

from scalor_pyro.baselines.sequential_vae import SequentialVAE
from scalor_pyro.baselines.vrnn import VRNN
from scalor_pyro.cli.errors import INTERRUPTED, command
from scalor_pyro.config import TrainConfig, VideoData, VideoRunConfig
from scalor_pyro.config.baselines import FrameModelConfig, SequentialVAEConfig, VRNNConfig
from scalor_pyro.experiments.assessment import reconstruction
from scalor_pyro.experiments.baselines import FRAMES_TRAIN
from scalor_pyro.experiments.synthetic import EVALUATION_BATCH
from scalor_pyro.experiments.video_configs import proposed_run
from scalor_pyro.experiments.videos import run_on_videos
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.likelihood import nll
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.generated import Row, save_strip
from scalor_pyro.runs.checkpoint import load_training_state
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_weights
from scalor_pyro.runs.provenance import MadeBy, command_line, provenance
from scalor_pyro.training.loop import train
from scalor_pyro.video import Clips, ReadOptions, Video, propose, survey

# Models of whole frames by their name in the tables: the config and the program.
OTHERS: dict[str, tuple[type[FrameModelConfig], Callable[[Any], Any]]] = {
    "VRNN": (VRNNConfig, VRNN),
    "SequentialVAE": (SequentialVAEConfig, SequentialVAE),
}
# Frames of a clip that is scored, as in the paper.
CLIP = 10


@dataclass(frozen=True)
class FrameVideoRun:
    """A run of a model of whole frames on videos, as :class:`VideoRunConfig` is of SCALOR."""

    video: VideoData
    model: FrameModelConfig
    train: TrainConfig
    seed: int = 0


def scalor_run(paths: list[Path], minutes: float, seed: int) -> VideoRunConfig:
    """The run that ``scalor train`` proposes."""
    given = ReadOptions()
    proposal = propose(survey(*(Video(path, given) for path in paths)), given)
    config = proposed_run(tuple(map(str, paths)), given, proposal)
    return replace(config, train=replace(config.train, minutes=minutes), seed=seed)


def baseline_run(name: str, scalor: VideoRunConfig) -> FrameVideoRun:
    """Another model on the same videos, for the same time, with its own training settings."""
    sizes, _ = OTHERS[name]
    shared = {field: getattr(scalor.model, field) for field in ("image_size", "channels", "sigma")}
    budget = replace(FRAMES_TRAIN, minutes=scalor.train.minutes)
    return FrameVideoRun(scalor.video, sizes(**shared), budget, scalor.seed)


def trained(name: str, config: VideoRunConfig | FrameVideoRun, folder: Path) -> Any:
    """The trained program of a run, after any training that is still missing; None if that was interrupted."""
    resume = RunFolder(folder).state.exists()
    pyro.clear_param_store()
    if isinstance(config, VideoRunConfig):
        done = run_on_videos(config, folder, resume=resume) is not None
        program: Any = Scalor(config.model)
    else:
        clips = Clips([Video(path, config.video.options) for path in config.video.paths], _longest(config), config.seed)
        pyro.set_rng_seed(config.seed)
        _, build = OTHERS[name]
        program = build(config.model)
        done = not train(program, clips, config, folder, resume=resume).interrupted
    if not done:
        return None
    load_weights(folder, program)
    return program


def _longest(config: FrameVideoRun) -> int:
    return max(stage.frames for stage in config.train.curriculum)


def clips_of(paths: list[Path], options: ReadOptions) -> Tensor:
    """The videos cut into consecutive clips, (N, CLIP, C, H, W); the rest at the end of a video is not scored.

    :raises ValueError: if no video is as long as a clip.
    """
    clips = []
    for path in paths:
        frames = np.stack([frame.image for frame in Video(path, options)])
        whole = len(frames) // CLIP * CLIP
        clips.append(frames[:whole].reshape(-1, CLIP, *frames.shape[1:]))
    together = np.concatenate(clips)
    if len(together) == 0:
        short = " and ".join(map(str, paths))
        raise ValueError(f"{short}: expected at least {CLIP} frames each, the length of a clip.")
    return torch.from_numpy(together).float() / 255


def drawn(program: Any, x: Tensor) -> Tensor:
    """The frames at the mode of the posterior, both (B, T, C, H, W)."""
    return infer(program, x).reconstruction if isinstance(program, Scalor) else reconstruction(program, x)


def scores(program: Any, clips: Tensor, samples: int, seed: int) -> dict[str, float]:
    """NLL in nats per pixel, and the squared error of the reconstruction per pixel and channel."""
    pyro.set_rng_seed(seed)  # of the importance samples
    values, errors = [], []
    for x in clips.split(EVALUATION_BATCH):
        values.append(nll(program, x, samples))
        errors.append((drawn(program, x) - x).double().square().flatten(1).mean(1))
    return {
        "nll": float(torch.cat(values).mean()),
        "nll_samples": samples,
        "nll_videos": len(clips),
        "mse": float(torch.cat(errors).mean()),
    }


def results_of(folder: Path, seed: int, figures: dict[str, float], origin: dict[str, Any]) -> dict[str, Any]:
    """Figures and their origin."""
    state = load_training_state(RunFolder(folder).state)
    return {
        **figures,
        "videos": figures["nll_videos"],
        "steps": state.step,
        "training_minutes": state.seconds / 60,
        "processor_minutes": state.processor_seconds / 60,
        "seed": seed,
        "provenance": origin,
    }


def compare(options: argparse.Namespace) -> bool:
    """Train, score, record, draw; False if it was interrupted.

    :raises ValueError: for videos that cannot be read, and folders that hold other runs.
    """
    paths = sorted(options.clips.glob("Train0*.mkv"))
    unseen = [path.absolute() for path in paths if path.stem in HELD_OUT]
    if len(unseen) != len(HELD_OUT) or len(paths) == len(unseen):
        raise ValueError(f"{options.clips}: expected a folder with Train001.mkv … Train016.mkv.")
    first = scalor_run([p.absolute() for p in paths if p.stem not in HELD_OUT], options.minutes, options.seed)
    clips = clips_of(unseen, first.video.options)
    rows = [Row("truth", clips[0])]
    for prefix, name in OF_NATURAL.items():
        setting = prefix + NATURAL
        folder = options.out / f"{setting}-{options.seed}"
        config = baseline_run(name, first) if name in OTHERS else first
        resumed = RunFolder(folder).state.exists()
        origin = provenance(MadeBy(command_line(__file__, None), setting), "cpu", resumed=resumed)
        program = trained(name, config, folder)
        if program is None:
            return False
        figures = scores(program, clips, options.nll, options.seed)
        results = results_of(folder, options.seed, figures, origin)
        write_atomically(folder / "natural_scenes.json", json.dumps(results, indent=1).encode())
        write(RECORDS, setting, setting, results)
        rows.append(Row(name, drawn(program, clips[:1])[0]))
        print(f"{name}: NLL {figures['nll']:.4f} nats per pixel, MSE {figures['mse']:.5f}", flush=True)
    save_strip(options.out / "natural_scenes.png", rows, observed=CLIP)
    return True


@command
def main(arguments: list[str] | None = None) -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder with Train001.mkv … Train016.mkv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the three runs")
    parser.add_argument("--minutes", type=float, default=14.0, help="of each training (default: 14)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nll", type=int, default=50, metavar="N", help="importance samples of a clip (default: 50)")
    if not compare(parser.parse_args(arguments)):
        print("Interrupted. Run the same command again to continue.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
