"""A run on a video that starts from weights for any scene: what it sees, what it keeps, and how it is used."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scalor_pyro.cli import main
from scalor_pyro.cli import train as train_command
from scalor_pyro.config import ConfigError, Crop, VideoRunConfig, config_from_dict, config_to_dict
from scalor_pyro.config.sizes import SIDE_OF_BOX
from scalor_pyro.data.movers import differences
from scalor_pyro.experiments import comparing
from scalor_pyro.experiments import videos as video_run
from scalor_pyro.experiments.comparing import (
    Choice,
    Gain,
    HeldOut,
    compared,
    elbos,
    jackknife,
    left_out,
    on_clips,
    share,
)
from scalor_pyro.experiments.videos import FRESH, load_figures
from scalor_pyro.experiments.windows import SeenClips, grid
from scalor_pyro.inference.trained import load
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.folder import RunFolder
from scalor_pyro.runs.loading import load_config_to_resume, load_model
from scalor_pyro.tracks.any_scene.looks import Differences
from scalor_pyro.tracks.opening import Options
from scalor_pyro.tracks.tracker import tracker_of
from scalor_pyro.training import collapse
from scalor_pyro.video import Clips, Video, VideoError
from scalor_pyro.video.background.files import BACKGROUND_IMAGE
from tests.video_files import shades, squares, write_video


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five squares of 16 px that move over a texture."""
    folder = tmp_path_factory.mktemp("street")
    return write_video(folder / "street.mkv", squares(40, size=(128, 192), side=16, speed=2))


@pytest.fixture(scope="module")
def run(street: Path, small: None, small_any_scene: Path) -> Path:
    """A run folder that was trained for two steps from weights for any scene."""
    out = street.parent / "run"
    arguments = ["train", str(street), "--out", str(out), "--steps", "2", "--start-from", str(small_any_scene)]
    assert main(arguments) == 0
    return out


def test_a_run_says_that_it_sees_differences(run: Path, street: Path) -> None:
    config = load(run).config
    assert isinstance(config, VideoRunConfig) and config.sees_differences
    assert config.model.image_size == (32, 32) and config.video.gain > 1
    assert config.video.options.size == pytest.approx((56, 88), abs=16), "8 px for the 16 px of a square"
    height, width = config.video.options.size or (0, 0)
    assert Video(street, config.video.options).geometry.size == (height, width)


def test_a_run_is_tracked_at_the_scale_and_gain_of_its_training(run: Path, street: Path) -> None:
    trained = load(run)
    assert isinstance(trained.config, VideoRunConfig)
    tracker, video = tracker_of(trained, street, Options(decide_by="masks"))
    assert video.geometry.size == trained.config.video.options.size == tracker.scalor.config.image_size
    assert tracker.differences is not None and tracker.differences.gain == trained.config.video.gain
    assert float((tracker.scalor.background_image - 0.5).abs().max()) < 1e-6  # type: ignore[operator]
    larger, _ = tracker_of(trained, street, Options(object_size=8.0 / SIDE_OF_BOX, decide_by="masks"))
    assert larger.scalor.config.image_size == (128, 192), (
        "the square of 8 px that they cover is as large in the model as in the file"
    )


def test_a_run_tracks_from_the_command_line(run: Path, street: Path, tmp_path: Path) -> None:
    assert main(["track", str(street), "--weights", str(run), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "street.csv").exists()


def test_a_run_that_sees_differences_forecasts_no_frames(
    run: Path, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(street), "--weights", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "got those that see differences; train some with scalor train --from-scratch" in capsys.readouterr().err


def test_the_scene_of_a_run_is_kept_and_used(run: Path, street: Path) -> None:
    assert (run / BACKGROUND_IMAGE).stat().st_size > 100
    tracker, video = tracker_of(load(run), street, Options(background_image="run", decide_by="masks"))
    assert tracker.differences is not None
    median = np.median(np.stack([frame.image for frame in video]), 0) / 255
    assert float((tracker.differences.scene - torch.from_numpy(median)).abs().max()) < 0.02


@pytest.mark.parametrize("scratch", [False, True])
def test_a_picture_of_the_empty_scene_is_that_of_the_run(
    street: Path, small: None, small_any_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: bool
) -> None:
    """Here it has what no frame shows: a white bar."""
    monkeypatch.chdir(tmp_path)
    empty = squares(1, size=(128, 192), side=0)[0]
    empty[:, 40:80] = 255
    Image.fromarray(empty).save("empty.png")
    start = ["--from-scratch"] if scratch else ["--adapt-only", "--start-from", str(small_any_scene)]
    main(["train", str(street), "--out", "run", "--steps", "2", "--background-image", "empty.png", *start])
    trained = load(Path("run"))
    assert isinstance(trained.config, VideoRunConfig)
    assert trained.config.video.options.background_image == str(tmp_path / "empty.png")
    kept = np.array(Image.open(Path("run") / BACKGROUND_IMAGE))
    left, right = (int(x / 192 * kept.shape[1]) for x in (44, 76))
    assert kept[:, left:right].min() > 220 > 150 > kept[:, : left - 6].max()
    if scratch:
        image = trained.scalor.background_image
        assert image is not None and float((image > 0.85).float().mean()) > 0.1


def test_what_was_compared_and_kept_is_in_the_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (run / name).read_bytes() for name in ("results.json", "weights.safetensors")}
    results = json.loads(before["results.json"])
    held_out = results["held_out"]
    assert results["steps"] == load(run).config.train.steps
    assert held_out["clips"] == held_out["fresh"]["clips"] == 3 and held_out["kept"] in ("start", "end", "fresh")
    assert held_out["fresh"]["elbo"]["start"] == held_out["elbo"]["start"], "both are compared with the same start"
    assert load_figures(run).objects_per_frame >= 0
    assert main(["train", "--resume", "--out", str(run)]) == 0, "a run that is done reports the same again"
    assert {name: (run / name).read_bytes() for name in before} == before
    assert "held-out clips" in capsys.readouterr().out


@pytest.mark.parametrize("needed", [-1e9, 1e9])
def test_the_better_weights_are_kept(
    street: Path,
    small: None,
    small_any_scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    needed: float,
) -> None:
    monkeypatch.setattr(comparing, "LEAST_ERRORS", needed)
    monkeypatch.setattr(comparing, "followed", lambda _, clips: torch.rand(len(clips), 2))
    monkeypatch.setattr(Gain, "has_fallen", False)
    out = tmp_path / "run"
    arguments = ["train", str(street), "--out", str(out), "--steps", "1", "--start-from", str(small_any_scene)]
    assert main([*arguments, "--adapt-only"]) == 0 and not (out / FRESH).exists()
    (_, start), (_, kept) = load_model(small_any_scene), load_model(out)
    parameters = [name for name, _ in load(out).scalor.named_parameters() if name != "background.decoder.image"]
    same = all(torch.equal(start[name], kept[name]) for name in parameters)
    assert same == (needed > 0)
    said = capsys.readouterr().out
    assert ("has not improved" if same else "has improved") in said
    assert ("--from-scratch learns" in said) == same
    assert json.loads((out / "results.json").read_text())["held_out"]["kept"] == ("start" if same else "end")


@pytest.fixture
def fresh_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    same, more = Gain(0.9, 0.9, 0.1), Gain(0.9, 1.9, 0.1)
    worse, better = (HeldOut(Gain(0.0, elbo, 0.1), more, same, 3) for elbo in (1.0, 2.0))
    choice = Choice(worse, better, HeldOut(Gain(1.0, 2.0, 0.1), same, same, 3))
    assert choice.kept == "fresh"
    monkeypatch.setattr(video_run, "chosen", lambda *_: choice)


@pytest.fixture
def fresh_run(street: Path, small: None, small_any_scene: Path, fresh_is_best: None, tmp_path: Path) -> Path:
    """A run folder whose second model was kept."""
    out = tmp_path / "run"
    arguments = ["train", str(street), "--out", str(out), "--steps", "1", "--start-from", str(small_any_scene)]
    assert main(arguments) == 0
    return out


def test_the_model_that_began_with_random_weights_is_kept_if_it_is_the_best(
    fresh_run: Path, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model, kept), (_, fresh) = load_model(fresh_run), load_model(fresh_run / FRESH)
    parameters = [name for name, _ in load(fresh_run).scalor.named_parameters()]
    assert all(torch.equal(kept[name], fresh[name]) for name in parameters)
    assert model.size_range < 0.4 and load(fresh_run).config.model == model
    files = {name: (fresh_run / name).read_bytes() for name in ("results.json", "weights.safetensors", "config.json")}
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(fresh_run)]) == 0, "the run goes on with the config that it had"
    said = capsys.readouterr().out
    assert "began with random weights is the best" in said and "then 1 steps from random weights" in said
    assert {name: (fresh_run / name).read_bytes() for name in files} == files
    assert main(["track", str(street), "--weights", str(fresh_run), "--out", str(tmp_path / "tracks")]) == 0


def test_the_config_of_a_second_model_that_was_kept_describes_it(
    fresh_run: Path, street: Path, small_any_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_command, "ANY_SCENE", str(small_any_scene))
    again = tmp_path / "again"
    assert main(["train", "--config", str(fresh_run / "config.json"), "--out", str(again)]) == 0
    assert load(again).config == load(fresh_run).config and not (again / FRESH).exists()


def test_a_run_that_was_stopped_in_its_second_training_goes_on_there(
    run: Path,
    street: Path,
    small_any_scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    arguments = ["train", str(street), "--out", str(out), "--steps", "2", "--start-from", str(small_any_scene)]
    with monkeypatch.context() as patch:
        patch.setattr(video_run, "train_fresh", lambda *_: None)
        assert main(arguments) == 130
    assert not (out / "results.json").exists()
    (out / FRESH / "metrics.jsonl").write_text('{"step": 1}\n')  # of a process that was killed before its checkpoint
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert "has used its budget" not in capsys.readouterr().out
    for name in ("weights.safetensors", "results.json"):
        assert (out / name).read_bytes() == (run / name).read_bytes(), "as if it had not been stopped"


def test_a_second_model_must_see_what_the_first_sees(run: Path) -> None:
    config = config_to_dict(load_config_to_resume(RunFolder(run), VideoRunConfig))
    config["fresh"]["model"]["sigma"] *= 2
    with pytest.raises(ConfigError, match=r"fresh.model.sigma: expected that of the model, .* got"):
        config_from_dict(VideoRunConfig, config)
    config["fresh"]["model"]["sigma"] /= 2
    config["fresh"]["train"]["start_from"] = "any-scene"
    with pytest.raises(ConfigError, match="train.start_from: expected null, because the weights are random"):
        config_from_dict(VideoRunConfig, config)


def test_a_run_starts_from_one_that_sees_differences(run: Path, street: Path, small: None, tmp_path: Path) -> None:
    out = tmp_path / "again"
    arguments = ["--start-from", str(run), "--config", str(run / "config.json"), "--steps", "1"]
    assert main(["train", str(street), "--out", str(out), *arguments]) == 0
    first, second = load(run).config, load(out).config
    assert isinstance(first, VideoRunConfig) and isinstance(second, VideoRunConfig)
    assert second.sees_differences and second.model == first.model and second.video == first.video


def test_the_background_image_is_never_that_of_the_weights(
    street: Path, small: None, small_run: Path, tmp_path: Path
) -> None:
    """Also where the images have the same size, so that it would fit."""
    dark, light = (squares(24) // 2, squares(24) // 2 + 120)
    for name, frames in (("dark", dark), ("light", light)):
        np.save(tmp_path / f"{name}.npy", frames.astype(np.uint8))
    first, second = tmp_path / "first", tmp_path / "second"
    own = ["--steps", "1", "--size", "64", "96", "--levels", "0", "255"]
    assert main(["train", str(tmp_path / "dark.npy"), "--out", str(first), *own, "--from-scratch"]) == 0
    assert main(["train", str(tmp_path / "light.npy"), "--out", str(second), *own, "--start-from", str(first)]) == 0
    images = [load(each).scalor.background_image for each in (first, second)]
    assert images[0] is not None and images[1] is not None
    assert float((images[1] - images[0]).mean()) > 0.3


def test_clips_are_differences_of_windows(street: Path) -> None:
    clips = Clips([Video(street)], 3, windows=[Crop(0, 0, 32, 64), Crop(40, 16, 32, 64)])
    scene = torch.rand(3, 128, 192, generator=torch.Generator().manual_seed(0))
    seen = SeenClips(clips, Differences(scene, 2.0), 3)
    batch = seen.batch(5, 6)
    for row, which in enumerate(batch.clips.scene):
        window = clips.windows[which]
        part = scene[:, window.y : window.y + 64, window.x : window.x + 32]
        torch.testing.assert_close(batch.tensor()[row], differences(batch.original()[row], part, 2.0))


def test_windows_are_those_in_which_things_move(tmp_path: Path) -> None:
    frames = np.full((20, 64, 256, 3), 40, np.uint8)
    for t in range(20):
        frames[t, 20:36, 180 + t : 196 + t] = 220
    clips = Clips([Video(write_video(tmp_path / "one.mkv", frames))], 2)
    scene = torch.full((3, 64, 256), 40 / 255)
    windows = SeenClips(clips, Differences(scene, 2.0), 3).busy((64, 64)).clips.windows
    assert windows and all(window.x + window.width > 180 for window in windows)


@given(st.tuples(st.integers(16, 200), st.integers(16, 200)), st.tuples(st.integers(8, 64), st.integers(8, 64)))
def test_windows_cover_the_frame(image: tuple[int, int], size: tuple[int, int]) -> None:
    size = min(size[0], image[0]), min(size[1], image[1])
    covered = np.zeros(image, bool)
    for window in grid(image, size):
        covered[window.y : window.y + window.height, window.x : window.x + window.width] = True
        assert window.size == size
    assert covered.all()


def test_held_out_clips_have_no_frame_in_common_with_the_others(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "shades.mkv", shades(20)))
    first, last = Clips([video], 3).split(0.2)
    before, after = (set(np.unique(each.batch(0, 60).frames[..., -1, -1])) for each in (first, last))
    assert before and after and max(before) < min(after) and len(after) == 4
    with pytest.raises(VideoError, match="expected at least 22 frames in one of them, .* got 20"):
        Clips([video], 11).split(0.2)


GAINS = st.builds(Gain, st.floats(0, 9), st.floats(0, 9), st.floats(0, 2))
WORTHS = st.builds(HeldOut, GAINS, GAINS, GAINS, st.just(9))


@given(WORTHS)
def test_weights_are_better_only_if_they_follow_more_objects_and_explain_no_less(found: HeldOut) -> None:
    elbo, followed = found.elbo, found.followed
    explains_less = elbo.end - elbo.start < -2 * elbo.error
    assert found.is_better == (followed.end - followed.start > 2 * followed.error and not explains_less)
    assert Choice(found).kept == ("end" if found.is_better else "start")


@given(WORTHS, WORTHS, WORTHS)
def test_only_models_that_are_better_are_kept(trained: HeldOut, fresh: HeldOut, between: HeldOut) -> None:
    choice = Choice(trained, fresh, between)
    better = {name for name, each in {"end": trained, "fresh": fresh}.items() if each.is_better}
    assert choice.kept in (better or {"start"})
    if len(better) == 2 and (between.followed.has_risen or between.followed.has_fallen):
        assert choice.kept == ("fresh" if between.followed.has_risen else "end"), "that which follows more objects"
    assert choice.sentence().endswith(" kept.")


@given(arrays(np.float64, 7, elements=st.floats(-9, 9)))
def test_the_jackknife_of_a_mean_is_its_standard_error(values: np.ndarray) -> None:
    of_mean = torch.tensor((values.sum() - values) / 6)  # without each value in turn
    assert float(jackknife(of_mean)) == pytest.approx(values.std(ddof=1) / 7**0.5, abs=1e-9)


@given(arrays(np.int64, (7, 2), elements=st.integers(1, 50)))
def test_shares_of_all_clips_but_one(counts: np.ndarray) -> None:
    found = share(left_out(torch.tensor(counts).double()))
    going_on, new = (counts.sum(0) - counts).T
    assert found.numpy() == pytest.approx(going_on / (going_on + new))


def test_a_model_is_not_better_than_itself_and_is_left_as_it_was(busy: Scalor, videos: torch.Tensor) -> None:
    weights = {name: value.clone() for name, value in busy.state_dict().items()}
    own = on_clips(busy, videos)
    found = compared(own, on_clips(busy, videos))
    assert found.elbo.start == found.elbo.end and found.elbo.error == 0 and not found.is_better
    assert all(torch.equal(value, weights[name]) for name, value in busy.state_dict().items())
    busy.load_state_dict(
        {name: value + 0.3 * torch.randn_like(value) if value.dim() > 1 else value for name, value in weights.items()}
    )
    against = compared(on_clips(busy, videos), own)
    busy.load_state_dict(weights)
    assert against.elbo.end == found.elbo.end > against.elbo.start


def test_elbos_have_noise_of_their_own(busy: Scalor, videos: torch.Tensor) -> None:
    torch.manual_seed(1)
    first, expected = elbos(busy, videos), torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), expected), "the random numbers of others go on as if nothing had been asked"
    torch.manual_seed(2)
    assert torch.equal(elbos(busy, videos), first)


def test_a_run_whose_objects_vanish_starts_again_with_half_the_sigma_once(
    street: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def vanish(rows: object) -> bool:
        return True

    monkeypatch.setattr(collapse, "vanished", vanish)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"train": {"log_every": 1}, "model": {"sigma": 0.12}}))
    out = tmp_path / "run"
    arguments = ["--from-scratch", "--steps", "3", "--config", str(file)]
    assert main(["train", str(street), "--out", str(out), *arguments]) == 0
    config = load(out).config
    assert isinstance(config, VideoRunConfig) and config.restarted and config.model.sigma == pytest.approx(0.06)
    said = [record.message for record in caplog.records if "starts again" in record.message]
    assert said == ["By step 1, objects draw nothing any more: training starts again with sigma 0.06, half of 0.12."]
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3], "of the second attempt alone"
