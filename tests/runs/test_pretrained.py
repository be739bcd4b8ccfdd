"""Weights that come with the package: all are there, small, whole and as good as their cards say; and their names."""

import configparser
import json
import re
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from scalor_pyro.cli import main
from scalor_pyro.config import AnySceneRunConfig, DataConfig, config_to_dict
from scalor_pyro.config.movers import any_scene, taught
from scalor_pyro.config.presets import PRESETS, preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.experiments.made_up.any_scene import scores
from scalor_pyro.experiments.synthetic import evaluate
from scalor_pyro.inference.trained import load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs import pretrained
from scalor_pyro.runs.cards import card_of, shown_data, synthetic_card_of, synthetic_names
from scalor_pyro.runs.checkpoint import TrainingState, export_weights
from scalor_pyro.runs.configs import CheckpointError, config_to_json
from scalor_pyro.runs.folder import WEIGHTS, RunFolder
from scalor_pyro.runs.loading import load_run, load_weights, located
from scalor_pyro.runs.pretrained import ANY_SCENE, names, own_folder
from scalor_pyro.runs.weights import copy_weights, write_weights
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.text import read_csv
from scalor_pyro.tracks.tracker import tracker_of
from tests.conftest import SMALL

ROOT = Path(__file__).parents[2]
MB = 10**6
# Unseen digits of the kind that is bundled, so that no file is needed.
DIGITS = DataConfig(digits="uci")


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that packs weights and writes their cards into docs/weights.md."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import pack_weights

    module: ModuleType = pack_weights
    return module


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of sprites-vld, of small networks that were not trained; its record is beside it."""
    config = preset("sprites", "VLD")
    config = replace(config, model=replace(config.model, **SMALL))
    scalor = Scalor(config.model)
    torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 3.0)  # it finds something
    state = TrainingState(config_to_json(config), copy_weights(scalor), {}, 1, 0, 0.0, {}, {})
    export_weights(RunFolder.create(tmp_path / "run"), state)
    scores = evaluate(scalor, SyntheticVideos(config.data, 0, "test"), 1)
    about = {"videos": 1, "seed": 0, "steps": 2000, "digits": None, "provenance": {"preset": "sprites-vld"}}
    (tmp_path / "run" / "results.json").write_text(json.dumps({**about, **scores}))
    origin = {"command": "python examples/train_mnist.py", "commit": "abcdefgh", "changed": True, "resumed": False}
    record = {**origin, "videos": 1, "seed": 0, "steps": 2000, "training_minutes": 0.5, "machine": "a machine"}
    (tmp_path / "sprites-vld-0.json").write_text(json.dumps({**record, "torch": "2", "nll": 3.0, **scores}))
    return tmp_path / "run"


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, to be in, with digits.npy: 12 frames of 128 × 96 px whose digits are twice as large as in training."""
    monkeypatch.chdir(tmp_path)
    data = replace(DIGITS, frames=12)
    frames = SyntheticVideos(data, 0, "test").batch(0, 1).frames[0]
    np.save("digits.npy", frames[:, :, :48].repeat(2, -1).repeat(2, -2))
    return tmp_path


def test_there_are_some_and_they_are_small() -> None:
    assert "digits-vld" in names() and set(synthetic_names()) <= set(PRESETS)
    sizes = [pretrained.file_of(name).stat().st_size for name in names()]
    assert max(sizes) < 4 * MB and sum(sizes) < 25 * MB


def test_they_are_installed() -> None:
    """setup.cfg names them, and what is installed finds them as files of the package."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["scalor_pyro"].split()
    packaged = {path for pattern in patterns for path in (ROOT / "scalor_pyro").glob(pattern)}
    assert {ROOT / "scalor_pyro" / "weights" / f"{name}.safetensors" for name in names()} <= packaged
    for name in names():
        assert resources.files("scalor_pyro").joinpath("weights", f"{name}.safetensors").is_file()


def test_those_for_any_scene_are_what_their_card_says() -> None:
    config, card = card_of(ANY_SCENE)
    assert isinstance(config, AnySceneRunConfig) and config.model == taught(any_scene()).model
    assert set(names()) - set(synthetic_names()) == {ANY_SCENE}
    found = scores(Scalor.from_pretrained(ANY_SCENE), config, 8)
    assert found["mota"] > card["mota"] - 0.15, "eight videos"
    with pytest.raises(CheckpointError, match="any-scene: expected weights for synthetic videos, got those for any"):
        synthetic_card_of(ANY_SCENE)


@pytest.mark.parametrize("name", synthetic_names())
def test_each_is_what_its_card_says(name: str) -> None:
    config, card = synthetic_card_of(name)
    assert replace(config.data, digits="auto") == PRESETS[name]().data
    scalor = Scalor.from_pretrained(name)
    assert scalor.config == config.model and not scalor.training
    assert all(value.dtype == torch.float32 for value in scalor.state_dict().values() if value.is_floating_point())
    data = replace(config.evaluated, digits="uci") if config.data.objects == "digits" else config.evaluated
    scores = evaluate(scalor, SyntheticVideos(data, 0, "test"), 2)
    assert scores["mota"] > card["mota"] - 0.25, "two videos, and other digits than those of the card"


def test_the_page_has_their_cards(packing: ModuleType) -> None:
    written = packing.PAGE.read_text(encoding="utf-8")
    assert packing.page(written) == written, "python benchmarks/pack_weights.py writes it anew"


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(names())
    config, card = synthetic_card_of("digits-vld")
    assert shown_data(config.data) in lines[names().index("digits-vld")]
    assert f"MOTA {card['mota']:.3f}" in lines[names().index("digits-vld")]


def test_packing_a_run(
    packing: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.setattr(packing, "RECORDS", tmp_path)
    monkeypatch.setattr(packing, "PAGE", Path(shutil.copy(packing.PAGE, tmp_path / "weights.md")))
    pack = [str(run), "--name", "sprites-vld"]
    assert packing.main(pack) == 0
    assert names() == ("sprites-vld",)
    (_, original), (_, halves) = load_run(run), load_run("sprites-vld")
    assert any(not torch.equal(original[name], halves[name]) for name in original)
    for name, value in original.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-3, atol=1e-6)
    _, card = card_of("sprites-vld")
    assert card["training_minutes"] == 0.5 and "nll" not in card, "which is not of the rounded weights"
    cards = (tmp_path / "weights.md").read_text(encoding="utf-8").partition("<!-- table: cards -->")[2]
    assert "### sprites-vld" in cards and "### sprites-md" not in cards
    assert f"| {card['mota']:.3f} |" in cards and "0.5 minutes on a machine" in cards
    assert "`abcdefg`, with changes" in cards

    before = pretrained.file_of("sprites-vld").read_bytes()
    path = tmp_path / "sprites-vld-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mota": 3.0}))
    assert packing.main(pack) == 2
    assert "Rounding changes mota: expected 3.0000 as recorded, got" in capsys.readouterr().err
    path.unlink()
    assert packing.main(pack) == 2
    assert "run is not recorded: " in capsys.readouterr().err
    assert packing.main([str(run), "--name", "sprites-md"]) == 2
    assert "is not a run of sprites-md (count_min: expected 18, got 2" in capsys.readouterr().err
    assert pretrained.file_of("sprites-vld").read_bytes() == before and names() == ("sprites-vld",)


# ------------------------------------------------------------------ names


def test_a_name_means_the_weights_even_beside_a_folder_of_that_name(digits: Path) -> None:
    (digits / "digits-vld").mkdir()
    assert located("digits-vld") == pretrained.file_of("digits-vld")
    for folder in ("./digits-vld", Path("digits-vld")):
        assert located(folder) == Path("digits-vld") / WEIGHTS


def test_another_name_is_refused_with_those_that_there_are() -> None:
    for load_it in (Scalor.from_pretrained, load_run, load):
        with pytest.raises(CheckpointError, match="There is no run digits-vls: expected .* names .*digits-vld"):
            load_it("digits-vls")


def test_a_file_alone_is_a_run(tmp_path: Path) -> None:
    """Weights know their config, wherever they lie."""
    file = shutil.copy(pretrained.file_of("digits-vld"), tmp_path / "mine.safetensors")
    (tmp_path / "config.json").write_text("of something else")
    assert load_run(file)[0] == load_run("digits-vld")[0]
    scalor = Scalor.from_pretrained(file)
    load_weights("digits-vld", scalor)
    assert torch.equal(scalor.decoder.bias, Scalor.from_pretrained("digits-vld").decoder.bias)


def test_weights_of_other_networks_are_refused(tmp_path: Path) -> None:
    config, weights = load_run("digits-vld")
    write_weights(tmp_path / "old.safetensors", {**weights, "gone": torch.ones(1)}, config_to_dict(config), {})
    for load_it in (Scalor.from_pretrained, load):
        with pytest.raises(CheckpointError, match="old.safetensors does not fit the model: the model has no gone."):
            load_it(tmp_path / "old.safetensors")


def test_what_is_made_of_a_run_goes_into_its_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert own_folder(str(tmp_path / "run")) == tmp_path / "run"
    assert own_folder(str(tmp_path / "run" / WEIGHTS)) == tmp_path / "run"
    assert own_folder("digits-vld") == Path("runs/digits-vld")


# ------------------------------------------------------------------ on videos of another size


def test_track(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["track", "digits.npy", "--weights", "digits-vld", "--out", "tracks", "--object-size", "40"]
    assert main([*arguments, "--player", "2"]) == 0
    tracks = read_csv(digits / "tracks" / "digits.csv")
    assert len(tracks) >= 12 and 30 < np.median(tracks.width) < 60, "in px of the file"
    assert json.loads((digits / "tracks" / "digits.json").read_text())["weights"] == "digits-vld"
    assert "camera" not in capsys.readouterr().err


def test_a_frame_is_seen_as_it_is_or_at_the_size_of_its_objects(digits: Path) -> None:
    run = load("digits-vld")
    slots = run.config.model.slots
    as_it_is, video = tracker_of(run, "digits.npy")
    assert video.geometry.size == as_it_is.scalor.config.image_size == (96, 128)
    assert as_it_is.scalor.config.slots == 3 * slots, "in proportion to the area"
    smaller, video = tracker_of(run, "digits.npy", Options(object_size=40.0, slots=5))
    assert video.geometry.size == (48, 64) and smaller.scalor.config.slots == 5


def test_grey_is_seen_as_colour(digits: Path) -> None:
    np.save("grey.npy", np.load("digits.npy")[:, 0])
    run, found = load("digits-vld"), []
    for name in ("digits.npy", "grey.npy"):
        tracker, video = tracker_of(run, name, Options(object_size=40.0))
        found.append(tracker.advance(next(video.chunks(3))).tracks)
    assert np.array_equal(found[0].x, found[1].x)


def test_a_scene_that_is_not_black_is_said(digits: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker_of(load("digits-vld"), "digits.npy")
    assert not caplog.text
    np.save("street.npy", np.load("digits.npy") // 2 + 90)
    tracker_of(load("digits-vld"), "street.npy")
    assert "street.npy: 0 % of the first frame is black, but" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--weights digits-vld --object-size 0", "object_size: expected at least 1 px, got 0.0"),
        ("--weights digits-vld --scene run", "background_image: expected 'auto', .* got 'run'"),
        ("--weights digits", "There is no run digits: .*digits-vld"),
    ],
)
def test_refused(digits: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert main(["track", "digits.npy", "--out", "tracks", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(message, error) and not Path("tracks").exists()


def test_generate(digits: Path) -> None:
    arguments = ["generate", "--weights", "digits-vld", "--samples", "2", "--frames", "3"]
    assert main([*arguments, "--out", "dreams"]) == 0
    assert (np.load("dreams/imagine.npz")["identity"][:, 0, 0] >= 0).any(), "about as many as in training"
    assert main([*arguments, "digits.npy", "--observed", "2", "--out", "forecast"]) == 0
    assert np.load("forecast/forecast.npz")["y"].shape == (2, 1, 3, 3, 96, 128)
