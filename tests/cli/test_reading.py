"""Options of reading: one that is given is what is used, equal to its default or not."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from scalor_pyro.cli import main
from scalor_pyro.cli import train as command
from scalor_pyro.cli.reading import add_reading_options, reading_of
from scalor_pyro.config import Crop, ModelConfig, ReadOptions, VideoRunConfig, config_from_dict, config_to_dict
from scalor_pyro.video import Video, propose, survey
from tests.video_files import squares

# Values that an option may be given, those of its default among them.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "crop": st.sampled_from([Crop(0, 0, 96, 64), Crop(8, 4, 80, 56)]),
    "start": st.sampled_from([0, 2]),
    "stop": st.sampled_from([20, 24]),
    "stride": st.sampled_from([1, 2, 10]),
    "size": st.sampled_from([(64, 96), (32, 48)]),
    "grey": st.booleans(),
    "levels": st.sampled_from([(0.0, 255.0), (10.0, 200.0)]),
}


def words_of(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{name}"]
    values = (
        config_to_dict(value).values() if isinstance(value, Crop) else value if isinstance(value, tuple) else [value]
    )
    return [f"--{name}", *map(str, values)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without colour, so that grey is proposed; slow, so that a longer stride is."""
    path = tmp_path_factory.mktemp("videos") / "slow.npy"
    np.save(path, np.repeat(squares(12), 2, 0))
    return path


@drawn(st.data())
def test_any_options_that_are_given_are_what_is_used(video: Path, data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(VALUES))))
    chosen = {name: data.draw(VALUES[name]) for name in sorted(names)}
    by_file = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()
    parser = argparse.ArgumentParser()
    add_reading_options(parser)
    line = [word for name in sorted(names - by_file) for word in words_of(name, chosen[name])]
    plain = json.loads(json.dumps(config_to_dict(ReadOptions(**chosen))))
    reading = reading_of(parser.parse_args(line), {name: plain[name] for name in by_file})
    assert reading.given == names
    proposal = propose(survey(Video(video, reading.options)), *reading)
    used = proposal.options(reading.options)
    for name in names - {"crop"}:
        assert getattr(used, name) == chosen[name], name
    if "crop" in names:
        crop, window = chosen["crop"], used.crop
        assert window is not None and crop.x <= window.x and window.x + window.width <= crop.x + crop.width
    read = Video(video, used)
    model = proposal.model(ModelConfig())
    assert read.channels == model.channels and read.geometry.size == model.image_size


def test_a_file_that_is_grey_is_read_in_grey_whatever_is_given(tmp_path: Path) -> None:
    path = tmp_path / "grey.npy"
    np.save(path, squares()[..., 0])
    reading = ReadOptions(grey=False)
    proposal = propose(survey(Video(path, reading)), reading, {"grey"})
    assert proposal.grey and Video(path, proposal.options(reading)).channels == 1


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., VideoRunConfig]:
    """The config that a command line would train with."""

    def configure(*arguments: object) -> VideoRunConfig:
        taken: list[VideoRunConfig] = []
        monkeypatch.setattr(command, "run_on_videos", lambda config, *_, **__: taken.append(config))
        assert main(["train", *map(str, arguments), "--out", str(tmp_path / "run"), "--from-scratch"]) == 130
        return taken[0]

    return configure


def test_a_stride_of_one_is_used(video: Path, trained: Callable[..., VideoRunConfig], tmp_path: Path) -> None:
    assert trained(video).video.options.stride > 1, "or there is nothing to see here"
    assert trained(video, "--stride", 1).video.options.stride == 1
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"video": {"options": {"stride": 1, "grey": False}}}))
    options = trained(video, "--config", file).video.options
    assert options.stride == 1 and not options.grey
    assert trained(video, "--config", file, "--stride", 3, "--grey").video.options.stride == 3


def test_levels_that_a_config_leaves_alone_are_not_stretched(tmp_path: Path) -> None:
    path = tmp_path / "faint.npy"
    np.save(path, (100 + 0.15 * squares(32)).astype(np.uint8))
    plain = config_from_dict(ReadOptions, {"levels": None})
    seen = survey(Video(path, plain))
    assert propose(seen, plain).levels is not None and propose(seen, plain, {"levels"}).levels is None


def test_resume_refuses_options_that_equal_their_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["--stride", "1"], ["--start", "0"], ["--no-grey"], ["--seed", "0"], ["--capture"]):
        assert main(["train", "--resume", "--out", str(tmp_path), *line]) == 2
        assert "only --out and --device may be given" in capsys.readouterr().err
