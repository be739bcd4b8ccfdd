"""``scalor generate``: forecasts of a video and videos from nothing, and how it refuses; and the files they leave."""

import gc
import json
import re
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scalor_pyro.cli import generate, main
from scalor_pyro.cli.generate import presence_seen
from scalor_pyro.config import ConfigError
from scalor_pyro.experiments.videos import RESULTS, load_figures
from scalor_pyro.files import OutputError
from scalor_pyro.inference.generation import Generated
from scalor_pyro.inference.trained import load
from scalor_pyro.plots import generated_files as generation_files
from scalor_pyro.plots.generated_files import GenerationFiles
from scalor_pyro.video import Video
from tests.examples.test_examples import load_example
from tests.video_files import squares, write_video


@pytest.fixture
def here(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write into, seen from that of the videos."""
    monkeypatch.chdir(small_run)
    return tmp_path


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take most of the time."""
    for name in ("save_strip", "write_generation_player"):
        monkeypatch.setattr(generation_files, name, lambda *_: None)


def arguments(out: Path, *more: str) -> list[str]:
    return ["generate", *more, "--weights", "runs/street", "--out", str(out), "--samples", "3"]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------ what works


def test_forecast(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(here / "out", "street.mkv", "--observed", "2", "--frames", "5", "--start", "3")) == 0
    assert names(here / "out") == {"forecast_0.png", "player.html", "forecast.npz", "forecast.json"}
    arrays = np.load(here / "out" / "forecast.npz")
    _, config, scalor = load("runs/street")
    assert arrays["y"].shape == (3, 1, 5, 1, *config.model.image_size) and arrays["observed"] == 2
    assert arrays["presence"].shape == arrays["identity"].shape == (3, 1, 5, config.model.slots)
    np.testing.assert_allclose(arrays["mean"], arrays["y"].mean(0), atol=1e-6)
    assert scalor.background_image is not None
    future, background_image = arrays["x"][0, 2:], scalor.background_image.numpy()
    figures = json.loads((here / "out" / "forecast.json").read_text())
    assert (figures["horizon"], figures["samples"], figures["start"]) == ([1, 2, 3], 3, 3)
    for name, predicted in {
        "hold": arrays["x"][0, 1],
        "scene": background_image,
        "mean": arrays["mean"][0, 2:].clip(0, 1),
    }.items():
        expected = np.square(predicted - future).mean((1, 2, 3))
        np.testing.assert_allclose(figures["mse"][name], expected, rtol=1e-3)
    shown = capsys.readouterr().out
    assert (
        f"{figures['mse']['scene'][2]:.4f}" in shown and "background image alone" in shown and "position" not in shown
    )


@pytest.mark.usefixtures("unpictured")
def test_a_forecast_sees_the_frames_of_the_training(here: Path) -> None:
    """Crop, size, stride and colour are those of the run, whatever range of its video it was trained on."""
    _, config, _ = load("runs/street")
    assert config.video.options.start == 2
    assert main(arguments(here, "street.mkv", "--frames", "6")) == 0
    trained = Video("street.mkv", config.video.options)
    seen = (np.load(here / "forecast.npz")["x"][0] * 255).round()
    stride = config.video.options.stride
    offset = 2 // stride  # from frame 0 on, and not from where the training began
    assert 2 % stride == 0
    np.testing.assert_array_equal(seen[offset:], next(trained.chunks(6)).frames[: 6 - offset])


@pytest.mark.usefixtures("unpictured")
def test_nothing_is_discovered_after_what_is_seen_unless_asked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    real = generate.swap_prior
    monkeypatch.setattr(generate, "swap_prior", lambda priors: asked.append(priors) or real(priors))
    few = ["street.mkv", "--observed", "1", "--frames", "3"]
    assert main(arguments(here / "a", *few)) == 0
    assert main(arguments(here / "b", *few, "--discover", "--motion", "constant-velocity")) == 0
    assert main(arguments(here / "c", *few, "--discover")) == 0
    assert [set(priors) for priors in asked] == [{"z_pres_disc_*"}, {"z_where_prop_*"}]


def test_videos_from_nothing(here: Path) -> None:
    more = ["--first-presence", "0.9", "--frames", "3", "--motion", "constant-velocity"]
    assert main(arguments(here / "out", *more)) == 0
    assert names(here / "out") == {"imagine_0.png", "player.html", "imagine.npz"}
    arrays = np.load(here / "out" / "imagine.npz")
    assert arrays["y"].shape[:4] == (3, 1, 3, 1) and "x" not in arrays
    assert (arrays["identity"][:, 0, 0] >= 0).any(-1).all()
    assert main(arguments(here / "again", *more)) == 0
    again = np.load(here / "again" / "imagine.npz")
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays), "the same seed, the same samples"


def test_as_many_objects_are_made_up_as_were_seen(here: Path) -> None:
    shutil.copytree("runs/street", here / "run")
    trained = load(here / "run")
    cells = trained.config.model.n_cells
    figures = {"objects_per_frame": cells / 4, "propagation_rate": 0.9, "foreground_share": 0.1}
    (here / "run" / RESULTS).write_text(json.dumps(figures))
    assert presence_seen(trained) == pytest.approx(1 / 4)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"objects_per_frame": 1}', "NaN", "9" * 5000])
@pytest.mark.parametrize("value", [None, "1" * 400, "1e999", '"x"', "[]"])
def test_damaged_figures_of_a_run_are_one_sentence(tmp_path: Path, text: str, value: str | None) -> None:
    whole = f'{{"objects_per_frame": {value}, "propagation_rate": 0.9, "foreground_share": 0.1}}'
    (tmp_path / RESULTS).write_text(text if value is None else whole)
    with pytest.raises(ConfigError, match="results.json: expected the figures of a finished run.$"):
        load_figures(tmp_path)


# ------------------------------------------------------------------ what is refused


@pytest.mark.usefixtures("unpictured")
def test_what_is_there_is_kept_unless_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["street.mkv", "--observed", "1", "--frames", "2"]
    assert main(arguments(here, *few)) == 0
    before = contents(here)
    assert main(arguments(here, *few, "--seed", "1")) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert contents(here) == before
    assert main(arguments(here, *few, "--seed", "1", "--overwrite")) == 0
    assert contents(here)["forecast.npz"] != before["forecast.npz"]


@pytest.mark.parametrize(
    "change, message",
    [
        ("none.mkv", "no file or folder none.mkv"),
        ("street.mkv --weights nowhere", "nowhere"),
        ("street.mkv --observed 5 --frames 5", "Horizon: expected at least 1 frame, got 0"),
        ("street.mkv --observed 60 --frames 61", "Observed frames: expected 1 to 24, which the video has, got 60"),
        ("street.mkv --observed 0", "Observed frames: .* got 0"),
        ("street.mkv --frames 61", "expected --frames 61 frames .* got 24 at the run's stride of 1"),
        ("street.mkv --start 20 --observed 2", "from --start 20 on, to compare with, got 4"),
        ("street.mkv --start 99", "frame from 99 on"),
        ("street.mkv --start -1", "start: expected .* got -1"),
        ("street.mkv --samples 0", "samples: expected .* got 0"),
        ("street.mkv --samples 4294967296", "--samples: expected at most 1,000,000, got 4294967296"),
        ("--first-presence 0.5 --frames 4294967296", "frames: expected at most 1,000,000, got 4294967296"),
        ("street.mkv --seed -1", "--seed: expected .* got -1"),
        ("street.mkv --first-presence 0.3", "--first-presence applies only without a VIDEO"),
        ("--observed 3", "--observed needs a VIDEO"),
        ("--discover", "--discover needs a VIDEO"),
        ("--first-presence 1.5", "Probability: expected a number above 0 and below 1, got 1.5"),
        ("--first-presence 0.5 --frames 0", "frames: expected at least 1, got 0"),
        ("--first-presence 0.5 --samples 0", "samples: expected at least 1, got 0"),
        ("small.mkv --frames 6", "crop: expected"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    here: Path, small_run: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    if "small.mkv" in change and not Path("small.mkv").exists():
        write_video(small_run / "small.mkv", squares(size=(62, 40)))
    refused(capsys, [*arguments(here / "out"), *change.split()], message)
    assert not (here / "out").exists()


def test_another_colour(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load("runs/street")
    video = replace(trained.config.video, options=replace(trained.config.video.options, grey=False))
    monkeypatch.setattr(generate, "load", lambda *_: trained._replace(config=replace(trained.config, video=video)))
    refused(capsys, arguments(here, "street.mkv"), "street.mkv: expected a grey video, .* got a colour one")


@pytest.mark.usefixtures("unpictured")
def test_a_run_without_figures_says_what_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("runs/street", here / "run")
    weights = ["--weights", str(here / "run")]
    for text, message in (
        ('{"objects_per_frame": 0.0, "propagation_rate": 0, "foreground_share": 0}', "found no objects .*--first-pres"),
        ("[1]", "expected the figures of a finished run"),
        ("cut off", "expected the figures of a finished run"),
    ):
        (here / "run" / RESULTS).write_text(text)
        refused(capsys, [*arguments(here / "out"), *weights], message)
    (here / "run" / RESULTS).unlink()
    refused(capsys, [*arguments(here / "out"), *weights], "results.json: expected the figures")
    assert main([*arguments(here / "out", "--frames", "2", "--first-presence", "0.5"), *weights]) == 0


def test_examples_refuse_runs_on_videos(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for example in ("generate.py", "inspect_latents.py", "evaluate.py"):
        assert load_example(example).main(["runs/street", "--out", str(here / "out")]) == 2
        sentence(capsys, "trained by `examples/train_mnist.py`, got one trained by `scalor train`")


def refused(capsys: pytest.CaptureFixture[str], command: list[str], message: str) -> None:
    assert main(command) == 2
    sentence(capsys, message)


def sentence(capsys: pytest.CaptureFixture[str], message: str) -> None:
    out, error = capsys.readouterr()
    assert out == "" and re.fullmatch(r"error: [^\n]*\.\n", error), error
    assert re.search(message, error), error


# ------------------------------------------------------------------ files


def sample(value: float) -> Generated:
    """Six videos of one frame."""
    identity = torch.full((6, 1, 2), int(10 * value))
    return Generated(torch.full((6, 1, 3, 8, 8), value), torch.ones(6, 1, 2), torch.zeros(6, 1, 2, 4), identity)


@pytest.mark.usefixtures("unpictured")
def test_all_samples_of_the_first_videos_are_written(tmp_path: Path) -> None:
    samples = [sample(value) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    x = torch.arange(6.0).view(6, 1, 1, 1, 1).expand(6, 1, 3, 8, 8) / 6
    with GenerationFiles(tmp_path, "forecast", observed=1) as files:
        assert list(files.passing(iter(samples), x)) == samples
        assert list(files.passing(iter([sample(0.9)]), x)) != [], "a second batch passes"
        files.add_figures({"mse": float("nan")})
    arrays = np.load(tmp_path / "forecast.npz")
    np.testing.assert_allclose(arrays["y"][:, 3, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_array_equal(arrays["identity"][:, 3, 0, 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(arrays["mean"], 0.3, rtol=1e-6)
    np.testing.assert_allclose(arrays["x"], x[:4])
    assert json.loads((tmp_path / "forecast.json").read_text()) == {"mse": None}


@pytest.mark.usefixtures("unpictured")
def test_samples_are_not_held(tmp_path: Path) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def made() -> Iterator[Generated]:
        for _ in range(30):
            one = sample(0.5)
            held.append(weakref.ref(one.y))
            yield one

    with GenerationFiles(tmp_path, "imagine", observed=0) as files:
        files.take(made())
        gc.collect()
        assert sum(reference() is not None for reference in held) <= generation_files.SHOWN_ROWS + 1
    assert len(np.load(tmp_path / "imagine.npz")["y"]) == 30


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Generated]:
        yield sample(0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), GenerationFiles(tmp_path / "new", "imagine", observed=0) as files:
        files.take(interrupted())
    assert names(tmp_path / "new") == set()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="the folder could not be made"),
        GenerationFiles(tmp_path / "file", "imagine", 0),
    ):
        pass
