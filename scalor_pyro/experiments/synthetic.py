"""From a config to scores: build the model, train it on its stream, evaluate it, draw what it finds."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import pyro
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from scalor_pyro.config import ConfigError, DataConfig
from scalor_pyro.data import SyntheticVideos, VideoBatch, choose_source
from scalor_pyro.evaluation.metrics import Evaluation, without_nan
from scalor_pyro.experiments.results import write_results
from scalor_pyro.experiments.ways import ONLINE, Way
from scalor_pyro.inference.likelihood import nll
from scalor_pyro.inference.posterior import infer
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots.pictures import filmstrip, save_pictures
from scalor_pyro.plots.player import write_player
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.provenance import UNKNOWN, MadeBy, provenance
from scalor_pyro.runs.sources import mnist_to_train_on, remember_mnist
from scalor_pyro.tracks.table import tracks_of
from scalor_pyro.tracks.text import write_mot
from scalor_pyro.training.callbacks import TrainResult
from scalor_pyro.training.distributed import ALONE, World
from scalor_pyro.training.loop import Run, train

logger = logging.getLogger(__name__)

# Videos in one batch of an evaluation.
EVALUATION_BATCH = 8
# Seed of the stream of evaluation videos, and the index of the first one for evaluations during training.
TEST_SEED, VALIDATION_START = 0, 1_000_000


class Experiment(Run, Protocol):
    """A dataclass like :class:`~scalor_pyro.config.RunConfig`: a run of any model on synthetic videos."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def data(self) -> DataConfig: ...

    @property
    def test_data(self) -> DataConfig | None: ...

    @property
    def evaluated(self) -> DataConfig: ...


ExperimentT = TypeVar("ExperimentT", bound=Experiment)


class Assessment(Protocol):
    """How to score and draw programs of one kind."""

    def scores(
        self, scalor: Any, videos: SyntheticVideos, count: int, start: int = 0, folder: RunFolder | None = None
    ) -> dict[str, float]:
        """Scores of `count` videos from index `start` on; details of each video go to the run folder, if given."""

    def glance(self, scalor: Any, frames: Tensor) -> Figure:
        """One picture of what the program finds in videos (B, T, C, H, W), for looks during training."""

    def leave_pictures(self, scalor: Any, batch: VideoBatch, folder: RunFolder) -> None:
        """Write all pictures of a trained program."""


@dataclass(frozen=True)
class Likelihood:
    """Also measure the NLL of a trained program: nats per pixel, see :func:`scalor_pyro.inference.likelihood.nll`."""

    samples: int  # importance samples per video
    videos: int  # number of unseen videos, from the first on

    def __post_init__(self) -> None:
        for name in ("samples", "videos"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of the likelihood: expected at least 1, got {getattr(self, name)}.")


class Tracking:
    """The assessment of programs that follow objects: scores and files of tracks, boxes, the player."""

    def scores(
        self, scalor: Any, videos: SyntheticVideos, count: int, start: int = 0, folder: RunFolder | None = None
    ) -> dict[str, float]:
        if folder is None:
            return evaluate(scalor, videos, count, start)
        tracks = folder.path / "tracks"
        tracks.mkdir(exist_ok=True)
        for stale in tracks.glob("*.txt"):  # of an evaluation before a resume, which may have had more videos
            stale.unlink()
        return evaluate(scalor, videos, count, start, tracks)

    def glance(self, scalor: Any, frames: Tensor) -> Figure:
        return filmstrip(frames.cpu(), infer(scalor, frames))

    def leave_pictures(self, scalor: Any, batch: VideoBatch, folder: RunFolder) -> None:
        frames, inference = batch.tensor(), infer(scalor, batch.tensor(next(scalor.parameters()).device))
        save_pictures(folder.pictures, frames, inference, truth=batch.truth[0], rows=folder.rows())
        write_player(folder.path / "player.html", frames, inference)


TRACKING = Tracking()


def run_experiment(
    config: ExperimentT,
    folder: Path,
    *,
    build: Callable[[Any], Any] = Scalor,
    assessment: Assessment = TRACKING,
    likelihood: Likelihood | None = None,
    device: torch.device | str = "cpu",
    mnist: Path | None = None,
    resume: bool = False,
    final_videos: int = 200,
    progress: bool = True,
    world: World = ALONE,
    made_by: MadeBy = UNKNOWN,
) -> dict[str, Any] | None:
    """Train, evaluate on unseen videos, and leave figures, tracks and pictures in the run folder.

    :param config: of the run.
    :param folder: of the run; see :mod:`scalor_pyro.runs.folder`. Beside the files of training it then holds
        ``results.json``, ``tracks/`` in MOTChallenge text, ``pictures/`` and ``player.html``.
    :param build: makes the program, a module, of ``config.model``.
    :param assessment: scores and draws it.
    :param likelihood: also measure the NLL at the end.
    :param device: where to compute.
    :param mnist: a local file of MNIST, see :func:`scalor_pyro.data.load_digits`.
    :param resume: continue the run in the folder.
    :param final_videos: number of unseen videos to evaluate on at the end.
    :param progress: show a progress bar.
    :param world: the processes that train together.
    :param made_by: the command and the name of the setting, for the provenance in ``results.json``.
    :return: the results, or None if training was interrupted.
    :raises ValueError: for anything that the user has to fix, in one sentence.
    """
    _require_videos(final_videos)
    if resume or world.restarts > 0:
        mnist = world.on_rank_0(lambda: mnist_to_train_on(folder, config.data, mnist))
    config = world.on_rank_0(lambda: with_known_digits(config, mnist))
    origin = provenance(made_by, device, world.size, resume or world.restarts > 0)
    pyro.set_rng_seed(config.seed)  # of the weights; training seeds its own noise
    scalor = build(config.model).to(device)
    videos = SyntheticVideos(config.data, config.seed, "train", mnist)
    unseen = SyntheticVideos(config.evaluated, TEST_SEED, "test", mnist)

    def evaluate_at(step: int) -> Mapping[str, Any]:
        logger.info("Evaluating at step %d.", step)
        return without_nan(assessment.scores(scalor, unseen, config.train.eval_videos, VALIDATION_START))

    def draw_at(step: int) -> Mapping[str, Tensor]:
        frames = unseen.batch(VALIDATION_START, 1).tensor(device)
        return {"filmstrip": _to_tensor(assessment.glance(scalor, frames))}

    if mnist is not None:
        world.on_rank_0(lambda: remember_mnist(folder, mnist, resume or world.restarts > 0))
    ended = train(
        scalor,
        videos,
        config,
        folder,
        evaluate=evaluate_at,
        draw=draw_at,
        resume=resume,
        progress=progress,
        world=world,
    )
    if ended.interrupted:
        return None
    return world.on_rank_0(
        lambda: report(
            scalor, unseen, config, RunFolder.open(folder), ended, final_videos, origin, assessment, likelihood
        )
    )


def evaluate(
    scalor: Any,
    videos: SyntheticVideos,
    count: int,
    start: int = 0,
    tracks: Path | None = None,
    way: Way = ONLINE,
) -> dict[str, float]:
    """Score a model on videos of a stream.

    :param scalor: a :class:`~scalor_pyro.model.scalor.Scalor`, or what :func:`~scalor_pyro.inference.posterior.infer`
        takes instead.
    :param count: number of videos.
    :param start: index of the first video.
    :param tracks: a folder for the tracks of each video, in MOTChallenge text.
    :param way: to infer.
    :return: see :meth:`scalor_pyro.evaluation.metrics.Evaluation.result`.
    :raises ValueError: if count is below 1.
    """
    _require_videos(count)
    device = next(scalor.parameters()).device
    evaluation = Evaluation()
    for first in range(start, start + count, EVALUATION_BATCH):
        batch = videos.batch(first, min(EVALUATION_BATCH, start + count - first))
        inference = infer(scalor, batch.tensor(device), lookahead=way.lookahead, evidence=way.evidence)
        evaluation.add(inference, batch.tensor(), batch.truth)
        if tracks is not None:
            for index, found in enumerate(tracks_of(inference, videos.config.image_size), first):
                write_mot(tracks / f"{index:05d}.txt", found)
    return evaluation.result()


def _require_videos(count: int) -> None:
    if count < 1:
        raise ValueError(f"Expected at least 1 video to evaluate on, got {count}.")


def mean_nll(scalor: Any, videos: SyntheticVideos, count: int, samples: int) -> float:
    """Nats per pixel, mean over videos; an upper bound that falls with the number of samples."""
    values, device = [], next(scalor.parameters()).device
    for first in range(0, count, EVALUATION_BATCH):
        batch = videos.batch(first, min(EVALUATION_BATCH, count - first))
        values.append(nll(scalor, batch.tensor(device), samples))
    return float(torch.cat(values).mean())


def report(
    scalor: Any,
    unseen: SyntheticVideos,
    config: Experiment,
    folder: RunFolder,
    ended: TrainResult,
    final_videos: int,
    origin: Mapping[str, Any],
    assessment: Assessment = TRACKING,
    likelihood: Likelihood | None = None,
) -> dict[str, Any]:
    """Evaluate a trained model, and write results.json, pictures and the other files of its assessment."""
    figures: dict[str, Any] = assessment.scores(scalor, unseen, final_videos, folder=folder)
    if likelihood is not None:
        pyro.set_rng_seed(config.seed)  # of the importance samples
        figures["nll"] = mean_nll(scalor, unseen, likelihood.videos, likelihood.samples)
        figures |= {"nll_samples": likelihood.samples, "nll_videos": likelihood.videos}
    figures["digits"] = config.evaluated.digits if config.evaluated.objects == "digits" else None
    figures["evaluations"] = [row for row in folder.rows() if row.get("evaluation")]
    results = write_results(folder.path, figures, final_videos, ended, config.seed, origin)
    assessment.leave_pictures(scalor, unseen.batch(0, 1), folder)
    return results


def with_known_digits(config: ExperimentT, mnist: Path | None) -> ExperimentT:
    """The config with 'auto' replaced by the digits that are available, so that the run records its training data.

    :raises ValueError: if MNIST is given for videos without digits.
    """
    if config.data.objects != "digits":
        if mnist is not None:
            raise ValueError(f"MNIST was given ({mnist}), but the videos show sprites, which need no digits.")
        return config
    digits = choose_source(config.data.digits, mnist)
    test = config.test_data
    return replace(
        config,
        data=replace(config.data, digits=digits),
        test_data=None if test is None else replace(test, digits=digits),
    )


def _to_tensor(figure: Any) -> Tensor:
    """A figure as a picture (3, H, W) in [0, 1]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
