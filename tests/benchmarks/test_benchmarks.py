"""The benchmarks compare what they say they compare, and refuse what they cannot measure."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor

from scalor_pyro.inference.latents import frames_of
from scalor_pyro.inference.posterior import follow
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.training.elbo import ReparamELBO
from scalor_pyro.video import Video
from tests.video_files import squares, write_video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("background", ["none", "moving"])
def test_the_plain_loop_computes_what_pyro_does(
    make_scalor: Callable[..., Scalor], videos: Tensor, monkeypatch: pytest.MonkeyPatch, background: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from overhead import PlainLoss

    scalor = make_scalor(background=background)
    torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 2.0)
    found = []
    for loss_of in (lambda x: ReparamELBO().differentiable_loss(scalor.model, scalor.guide, x), PlainLoss(scalor)):
        pyro.set_rng_seed(5)
        scalor.zero_grad()
        loss = loss_of(videos)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in scalor.parameters() if p.grad is not None)])
    for plain, program in zip(*found, strict=True):
        torch.testing.assert_close(plain, program, rtol=1e-3, atol=1e-3)


def test_objects_drawn_over_whole_images_look_as_in_their_windows(
    busy: Scalor, videos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from step import whole_images

    in_windows = frames_of(follow(busy, videos))
    with whole_images():
        everywhere = frames_of(follow(busy, videos))
    assert in_windows[-1].canvas.alpha.max() > 0.1
    for one, other in zip(in_windows, everywhere, strict=True):
        torch.testing.assert_close(one.canvas, other.canvas, rtol=1e-3, atol=1e-4)


def test_backgrounds_move_where_and_as_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from sprites: water below the shore alone, light everywhere and in proportion to what is there."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from backgrounds import GAIN, GRADIENT, KINDS, SPRITES
    from sprite_video import make, textured_scene

    scene, empty = textured_scene((96, 96), 46), replace(SPRITES, count_min=0, count_max=0)

    def film_of(kind: str, frames: int) -> np.ndarray:
        truth = make(tmp_path / f"{kind}.mp4", empty, 0, frames, scene, *KINDS[kind])
        assert len(truth.frame) == 0
        return np.stack([frame.image for frame in Video(tmp_path / f"{kind}.mp4")]) / 255

    still, rippled = film_of("still", 5), film_of("ripples", 5)
    assert still.shape == (5, 3, 96, 96) and np.abs(still - scene).mean() < 0.03
    assert np.ptp(rippled[:, :, :50], axis=0).mean() < 0.06 < 0.15 < np.ptp(rippled[:, :, 62:], axis=0).mean()
    lit = film_of("light", 76)
    assert lit[75].mean() / still.mean() == pytest.approx(1 + GAIN, abs=0.02)  # a quarter of the period
    left, right = lit[0, :, :, 2].mean() / still[..., 2].mean(), lit[0, :, :, -3].mean() / still[..., -3].mean()
    assert right - left == pytest.approx(2 * GRADIENT, abs=0.06)


def test_models_of_natural_scenes_see_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import natural_scenes

    clips, out, records = tmp_path / "clips", tmp_path / "out", tmp_path / "records"
    clips.mkdir()
    monkeypatch.setattr(natural_scenes, "RECORDS", records)
    command = [str(clips), "--out", str(out), "--minutes", "0.02", "--nll", "1"]
    write_video(clips / "Train015.mkv", squares(23))
    write_video(clips / "Train016.mkv", squares(15))
    assert natural_scenes.main(command) == 2
    assert capsys.readouterr().err.endswith("expected a folder with Train001.mkv … Train016.mkv.\n")
    assert not out.exists()

    write_video(clips / "Train001.mkv", squares(40))
    assert natural_scenes.main(command) == 0
    found = {path.name: json.loads(path.read_text()) for path in records.iterdir()}
    assert set(found) == {"ped2-0.json", "vrnn-ped2-0.json", "sequential-vae-ped2-0.json"}
    for each in found.values():
        assert each["steps"] >= 1 and each["nll_videos"] == each["videos"] == 3, "23 and 15 frames are 2 clips and 1"
        assert np.isfinite([each["nll"], each["mse"]]).all()
    runs = [json.loads((out / path.stem / "config.json").read_text()) for path in records.iterdir()]
    assert all(run["video"] == runs[0]["video"] for run in runs)
    assert len({(*run["model"]["image_size"], run["model"]["channels"], run["model"]["sigma"]) for run in runs}) == 1
    assert (out / "natural_scenes.png").stat().st_size > 0

    assert natural_scenes.main(command) == 0
    again = {path.name: json.loads(path.read_text()) for path in records.iterdir()}
    for name, each in again.items():
        same = ("steps", "nll", "mse", "training_minutes")
        assert [each[key] for key in same] == [found[name][key] for key in same], "what is trained is scored again"
        assert each["resumed"] and not found[name]["resumed"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_measure() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / "gpu.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("no CUDA device is available; use benchmarks/step.py to measure a CPU.\n")


def test_the_fuzzing_script_counts_what_readers_do() -> None:
    arguments = ["--inputs", "80", "--seed", "3", "--kinds", "npy", "npz", "png", "tiff", "mkv"]
    command = [sys.executable, str(BENCHMARKS / "fuzz_readers.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    total = [cell.strip() for cell in done.stdout.splitlines()[-1].strip("|").split("|")]
    assert total[:2] == ["all", "15"] and total[4:7] == ["0", "0", "0"]


def test_memory_is_measured_over_videos_of_several_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import memory

    monkeypatch.setattr(memory, "FRAMES", 2)
    rows = list(memory.memory(2))
    assert [number for number, _, _ in rows] == [1, 2]
    assert all(names == 0 for _, _, names in rows), "a tracked video leaves nothing in the parameter store"
