"""Tracking a video of any length, in pixels and frames of its file."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pyro import poutine

from scalor_pyro.config import ConfigError, DataConfig, MoverConfig, RunConfig, TrainConfig, VideoData, VideoRunConfig
from scalor_pyro.data import MoverVideos
from scalor_pyro.inference.evidence import Worth, worth_for
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.inference.objects import reported
from scalor_pyro.inference.posterior import follow, infer
from scalor_pyro.inference.trained import TrainedRun
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.tracks.opening import Options, VideoLike, boxes_for, frames_for
from scalor_pyro.tracks.table import Tracks, concatenate, to_dataframe, tracks_of
from scalor_pyro.tracks.tracker import Tracker, load_for_tracking, track_chunks, tracker_of
from scalor_pyro.tracks.tracking import track
from scalor_pyro.video import Chunk, Crop, ReadOptions, Video
from scalor_pyro.video.background.files import BACKGROUND_IMAGE, FLICKER, load_background_image, save_background_image
from tests.video_files import squares, write_video

FRAMES, K = 21, 60


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mkv", squares(FRAMES, size=(128, 192), side=16, speed=4))


@pytest.fixture
def run(make_scalor: Callable[..., Scalor], tmp_path: Path, video: Path) -> TrainedRun:
    """For a window of 64 × 96 px of the file, at half its size, every second frame; it sees opaque objects."""
    scalor = make_scalor(background="static", channels=3)
    with torch.no_grad():
        scalor.discovery_posterior.presence_head.weight.normal_(std=0.8)
        scalor.decoder.bias[-1] = 4.0
    data = VideoData((str(video),), ReadOptions(crop=Crop(8, 16, 96, 64), size=(32, 48), stride=2))
    return TrainedRun(tmp_path, VideoRunConfig(data, scalor.config, TrainConfig(steps=1)), scalor)


def tracks(run: TrainedRun, video: Path, options: Options | None = None, chunk: int = 16) -> Tracks:
    found = concatenate([each.tracks for each in track_chunks(run, video, options, chunk)])
    assert len(found) > 0
    return found


@pytest.mark.parametrize("how", [Options(light_step=0), Options(light_step=0, lookahead=0, decide_by="masks")])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_the_length_of_a_chunk_changes_nothing(run: TrainedRun, video: Path, chunk: int, how: Options) -> None:
    whole, parts = tracks(run, video, how), tracks(run, video, how, chunk)
    assert np.array_equal(whole.frame, parts.frame) and np.array_equal(whole.identity, parts.identity)
    for name in ("x", "y", "width", "height", "presence", "depth", "x_sd", "height_sd", "length", "intensity"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("free", [1, 2])
@pytest.mark.parametrize("of", ["any scene", "this scene"])
def test_the_number_of_free_slots_changes_nothing(
    run: TrainedRun, video: Path, monkeypatch: pytest.MonkeyPatch, free: int, of: str
) -> None:
    """Where all are taken, a chunk is followed again with all slots of the model, from what was known before it."""
    slots: list[int] = []

    def noted(*given: Any) -> poutine.Trace:
        slots.append(given[2].slots.number if given[2] else K)
        return follow(*given)

    seen: VideoLike = video
    how = Options(light_step=0, slots=K, decide_by="masks", lookahead=0)
    if of == "any scene":
        movers = MoverVideos(MoverConfig(image_size=(64, 96), object_size=10, frames=24, most=12), 6)
        seen, run = movers.batch(0, 1).frames[0].transpose(0, 2, 3, 1), load_for_tracking("any-scene")
        how = Options(light_step=0, slots=K, lookahead=0, object_size=(10, 10))
    monkeypatch.setattr("scalor_pyro.tracks.tracker.follow", noted)
    monkeypatch.setattr("scalor_pyro.tracks.tracker.FREE_SHARE", 0)
    rows, counts = [], []
    for number in (K, free):
        monkeypatch.setattr("scalor_pyro.tracks.tracker.FREE_SLOTS", number)
        slots.clear()
        found = concatenate([each.tracks for each in track_chunks(run, seen, how, 2)])
        rows.append(found.rows(np.lexsort((found.identity, found.frame))))
        counts.append([*slots])
    assert set(counts[0]) == {K} and min(counts[1]) < K, "it goes on in fewer slots than the model has"
    assert len(counts[1]) > len(counts[0]), "some chunk was followed again"
    for name in ("frame", "identity", "x", "y", "width", "height", "presence", "depth", "x_sd", "length", "intensity"):
        np.testing.assert_allclose(getattr(rows[0], name), getattr(rows[1], name), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("looks", "lookahead", "decide_by"), [(1, 0, "masks"), (3, 0, "evidence"), (3, 5, "evidence")])
def test_tracks_are_those_of_inference(
    run: TrainedRun, video: Path, looks: int, lookahead: int, decide_by: Literal["evidence", "masks"]
) -> None:
    run = run._replace(config=replace(run.config, model=replace(run.config.model, first_looks=looks)))
    run.scalor.config = run.config.model
    options = Options(light_step=0, lookahead=lookahead, decide_by=decide_by, boxes="glimpse")
    tracker, reader = tracker_of(run, video, options)
    (chunk,) = reader.chunks(100)
    evidence = options.evidence(tracker.scalor)
    seen = infer(tracker.scalor, frames_for(tracker.scalor, chunk), lookahead=lookahead, evidence=evidence)
    (expected,) = tracks_of(seen, tracker.scalor.config.image_size)
    tracked = tracker.advance(chunk)
    assert tracked.tracks.identity.tolist() == expected.identity.tolist() and len(expected) > 0
    x, y = reader.geometry.to_source(expected.x, expected.y)
    np.testing.assert_allclose(np.stack((tracked.tracks.x, tracked.tracks.y)), np.stack((x, y)), rtol=1e-4, atol=1e-3)
    what = seen.what[reported(seen)]
    np.testing.assert_allclose(tracked.appearance, what, rtol=1e-3, atol=1e-4)
    assert (tracked.propagated, tracked.discovered) == (int(seen.propagated.sum()), int(seen.discovered[:, 1:].sum()))


@pytest.mark.parametrize("background", ["static", "moving", "none"])
def test_pictures_are_of_the_latents_that_were_tracked(
    make_scalor: Callable[..., Scalor], tmp_path: Path, background: str
) -> None:
    scalor = make_scalor(background=background)
    np.save(tmp_path / "a.npy", squares(7, size=(32, 48)))
    if background == "static":
        data = VideoData((str(tmp_path / "a.npy"),), ReadOptions(size=(32, 48)))
        run = TrainedRun(tmp_path, VideoRunConfig(data, scalor.config, TrainConfig(steps=1)), scalor)
    else:
        run = TrainedRun(tmp_path, RunConfig(DataConfig(image_size=(32, 48)), scalor.config), scalor)
    online = Options(light_step=0, lookahead=0, decide_by="masks")
    tracker, reader = tracker_of(run, tmp_path / "a.npy", online, pictured=5)
    chunks = list(reader.chunks(3))
    for chunk in chunks:
        tracker.advance(chunk)
    kept = tracker.pictured
    assert kept is not None and kept.numbers.tolist() == [0, 1, 2, 3, 4]
    frames = torch.cat([frames_for(tracker.scalor, chunk) for chunk in chunks], 1)[:, :5]
    torch.testing.assert_close(kept.frames, frames)
    expected = infer(tracker.scalor, frames)
    for name in expected._fields:
        mine, other = getattr(kept.inference, name), getattr(expected, name)
        assert mine.shape == other.shape
        if mine.is_floating_point():
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)
        elif name != "segments":  # a pixel may tie
            assert torch.equal(mine, other)


def test_pictures_have_the_background_of_their_own_frame(run: TrainedRun, video: Path) -> None:
    """Not the one that has followed the light to the end of the video."""
    tracker, reader = tracker_of(run, video, Options(light_step=0.05), pictured=2)
    assert tracker.scalor.background_image is not None
    before = tracker.scalor.background_image.clone()
    for chunk in reader.chunks(4):
        tracker.advance(Chunk(chunk.numbers, np.full_like(chunk.frames, 255)))
    assert tracker.pictured is not None
    light = (tracker.pictured.inference.background[0, 0] - before.clamp(0, 1)).abs()
    assert light.mean() < 0.1 < (tracker.scalor.background_image - before).abs().mean()


def test_track_gives_one_table_of_the_whole_video(run: TrainedRun, video: Path) -> None:
    table = track(video, run, stride=1, start=2, stop=12, decide_by="masks")
    expected = to_dataframe(tracks(run, video, Options(stride=1, start=2, stop=12, decide_by="masks")))
    pd.testing.assert_frame_equal(table, expected)
    assert set(table.frame) <= set(range(2, 12)) and {"particle", "x", "y"} <= set(table)
    frames = np.stack([frame.image for frame in Video(video)]).transpose(0, 2, 3, 1)
    pd.testing.assert_frame_equal(track(frames, run, stride=1, start=2, stop=12, decide_by="masks"), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 32, 48, 2)), r"array: expected shape \(T, H, W\) or .*, got \(3, 32, 48, 2\)\.$"),
        (np.zeros((0, 32, 48)), "at least 1 frame, got"),
        (np.zeros((3, 32)), r"got \(3, 32\)"),
        (np.zeros((3, 32, 48), complex), "array: expected real numbers, got complex128."),
        (np.zeros((3, 128, 192)), "array: expected a colour video, .* got a grey one."),
    ],
)
def test_track_refuses_other_arrays(run: TrainedRun, array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track(array, run)


def test_track_leaves_random_states_and_the_default_dtype_alone(run: TrainedRun, video: Path) -> None:
    expected = track(video, run, decide_by="masks")
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    torch.set_default_dtype(torch.float64)
    try:
        pd.testing.assert_frame_equal(track(video, run, decide_by="masks"), expected)
        assert torch.get_default_dtype() == torch.float64
        names = track(np.zeros((2, 64, 64), np.uint8), "digits-vld", device="cpu")
        assert len(names) == 0
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (np.random.get_state()[1].tolist(), random.getstate())


def test_a_model_in_double_precision_tracks_too(run: TrainedRun, video: Path) -> None:
    expected = track(video, run, decide_by="masks")
    run.scalor.double()
    found = track(video, run, decide_by="masks")
    np.testing.assert_allclose(found[["x", "y"]], expected[["x", "y"]], atol=1e-2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slots": 0}, "slots: expected at least 1, got 0."),
        ({"stride": 0}, "stride"),
        ({"start": -1}, "start"),
        ({"start": 3, "stop": 3}, "stop"),
        ({"object_size": float("nan")}, "object_size: expected at least 1 px, got nan."),
        ({"background_image": ""}, "background_image: expected a path, got ''."),
        ({"light_step": -1.0}, "light_step: expected a number from 0 to 1, got -1.0."),
        ({"lookahead": -1}, "lookahead: expected a number of frames from 0, got -1."),
        ({"decide_by": "luck"}, "decide_by: expected 'evidence' or 'masks', got 'luck'."),
        ({"discover": -1.0}, "discover: expected a number of nats from 0, got -1.0."),
        ({"boxes": "hull"}, "boxes: expected 'mask' or 'glimpse', got 'hull'."),
        ({"go_on": 1.0, "decide_by": "masks"}, "go_on: expected decide_by 'evidence' beside it, got 'masks'."),
    ],
)
def test_options_that_no_video_can_have_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Options(**values)  # type: ignore[arg-type]


def test_the_whole_frame_is_tracked_at_the_scale_and_stride_of_training(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video)
    assert reader.geometry.crop == Crop(0, 0, 192, 128)
    assert tracker.scalor.config.image_size == (64, 96)
    found = tracks(run, video, Options(decide_by="masks"))
    assert set(found.frame) <= set(range(0, FRAMES, 2)) and found.frame.max() >= FRAMES - 3
    assert found.x.max() > 96 + 8 and found.y.max() > 64 + 16  # beyond the window of training
    assert 10 < np.median(found.width) < 30  # boxes of 8 to 15 px, in px of the file


@pytest.mark.parametrize(
    ("object_size", "size"), [(None, (64, 96)), (20.0, (64, 96)), (40.0, (32, 48)), (10.0, (128, 192))]
)
def test_the_size_of_an_object_says_the_scale(
    run: TrainedRun, video: Path, object_size: float | None, size: tuple[int, int]
) -> None:
    """In training, it is 10 px of the model, which are 20 px of the file."""
    tracker, reader = tracker_of(run, video, Options(object_size=object_size))
    assert reader.geometry.size == tracker.scalor.config.image_size == size


def test_thresholds_of_evidence_are_those_of_the_weights_or_as_asked_for(run: TrainedRun) -> None:
    rule = worth_for(run.scalor)
    assert Options().evidence(run.scalor) == rule and Options(decide_by="masks").evidence(run.scalor) is None
    assert Options(discover=7.0).evidence(run.scalor) == Worth(7.0, rule.go_on)
    assert Options(go_on=0.0).evidence(run.scalor) == Worth(rule.discover, 0.0)


def test_where_differences_are_seen_tracks_have_to_gain_more_to_go_on(run: TrainedRun, video: Path) -> None:
    def rule_of(run: TrainedRun, options: Options) -> Worth:
        rule = tracker_of(run, video, options)[0]._acceptance
        assert rule is not None
        return rule.evidence

    anywhere, sized = load_for_tracking("any-scene"), Options(object_size=(16, 16))
    rule = rule_of(anywhere, sized)
    assert rule.go_on / rule.discover == pytest.approx(0.1 / 0.4)
    assert rule_of(anywhere, replace(sized, go_on=3.0)) == replace(rule, go_on=3.0)
    assert rule_of(run, Options()) == worth_for(run.scalor)
    known, _ = tracker_of(anywhere, video, sized)
    by_hand = Tracker(known.scalor, known.geometry, evidence="auto", differences=known.differences)
    assert by_hand._acceptance is not None and by_hand._acceptance.evidence == rule


def test_the_first_chunk_holds_the_lookahead(run: TrainedRun, video: Path) -> None:
    """Or tracks would depend on how a video is cut into chunks."""
    first, *_ = track_chunks(run, video, Options(lookahead=8), chunk=2)
    assert len(first.numbers) == 9


def test_a_crop_is_the_same_place_of_the_file(run: TrainedRun, video: Path) -> None:
    """Boxes are in px of the whole frame, whatever the crop."""
    crop = Crop(96, 64, 96, 64)
    found = tracks(run, video, Options(crop=crop, start=3, stop=9, stride=1, decide_by="masks"))
    assert found.frame.min() >= 3 and found.frame.max() < 9
    assert (found.x >= 96).all() and (found.x <= 192).all() and (found.y >= 64).all() and (found.y <= 128).all()


def test_deviations_are_in_px_of_the_file(run: TrainedRun, video: Path) -> None:
    found = tracks(run, video)
    for name in ("x_sd", "y_sd", "width_sd", "height_sd"):
        values = getattr(found, name)
        assert (values > 0).all() and (values < 20).all()
    assert found.x_sd.mean() > 0.2


def test_boxes_are_those_of_masks_unless_weights_are_of_synthetic_videos(run: TrainedRun, video: Path) -> None:
    """The mask lies in its glimpse, whose box the synthetic videos' truth has."""
    fitting, wide = (tracks(run, video, Options(boxes=boxes, decide_by="masks")) for boxes in ("mask", "glimpse"))
    assert np.array_equal(tracks(run, video, Options(decide_by="masks")).box, fitting.box)
    for name in ("frame", "identity", "area", "length", "breadth", "angle", "intensity"):
        np.testing.assert_array_equal(getattr(fitting, name), getattr(wide, name))
    beyond = np.abs(fitting.box[:, :2] - wide.box[:, :2]) + (fitting.box[:, 2:] - wide.box[:, 2:]) / 2
    assert beyond.max() < 1e-6 and (fitting.width <= wide.width + 1e-9).all()
    assert (fitting.width_sd <= wide.width_sd + 1e-9).all() and (fitting.x_sd >= wide.x_sd - 1e-9).all()
    synthetic = run._replace(config=RunConfig(DataConfig(image_size=(32, 48)), run.config.model))
    assert (boxes_for(run, Options()), boxes_for(synthetic, Options())) == ("mask", "glimpse")


def test_shapes_are_in_px_of_the_file_however_it_is_resized(run: TrainedRun, video: Path) -> None:
    """A file that is twice as wide as another, and read as the same frames, has everything twice as wide."""
    frames = np.stack([frame.image for frame in Video(video)]).transpose(0, 2, 3, 1)
    options = Options(stride=1, boxes="glimpse", decide_by="masks")
    found = []
    for array in (frames, frames.repeat(2, 2)):
        crop = Crop(0, 0, array.shape[2], array.shape[1])
        data = replace(run.config.video, options=ReadOptions(crop=crop, size=(32, 48)))
        same = run._replace(config=replace(run.config, video=data))
        found.append(tracks(same, array, replace(options, crop=crop)))
    narrow, wide = found
    assert np.array_equal(narrow.frame, wide.frame)
    np.testing.assert_allclose(wide.box, narrow.box * (2, 1, 2, 1), rtol=1e-3)
    np.testing.assert_allclose(wide.area, 2 * narrow.area, rtol=1e-3)
    assert (np.abs(wide.angle) < 20).all()  # of opaque glimpses, which are about as wide as high in the narrow file
    np.testing.assert_allclose(wide.length, 2 * narrow.length, rtol=0.3)
    np.testing.assert_allclose(wide.breadth, narrow.breadth, rtol=0.3)


def test_intensity_is_in_levels_of_the_file(run: TrainedRun, video: Path) -> None:
    frames = np.stack([frame.image for frame in Video(video)]).transpose(0, 2, 3, 1)
    options = Options(stride=1, decide_by="masks")
    in_8_bits = tracks(run, frames, options)
    deep = frames.astype(np.uint16) * 200 + 300
    deep[0, 0, 0], deep[0, 0, 1] = 300, 300 + 255 * 200  # the range that becomes black to white
    in_16_bits = tracks(run, deep, options)
    assert np.array_equal(in_8_bits.frame, in_16_bits.frame)
    assert 0 < np.nanmin(in_8_bits.intensity) and np.nanmax(in_8_bits.intensity) < 255
    np.testing.assert_allclose(in_16_bits.intensity, in_8_bits.intensity * 200 + 300, rtol=0.02)


def test_a_frame_that_is_read_again_is_reported_once(run: TrainedRun, tmp_path: Path) -> None:
    """At a rate above that of the file, frames come several times."""
    video = write_video(tmp_path / "slow.mkv", squares(8, size=(128, 192), side=16))  # 10 frames per second
    options = ReadOptions(crop=Crop(0, 0, 96, 64), size=(32, 48), rate=25.0)
    data = VideoData((str(video),), options)
    often = run._replace(config=VideoRunConfig(data, run.config.model, run.config.train))
    read = [number for each in track_chunks(often, video, chunk=3) for number in each.numbers]
    assert len(read) > len(set(read)) == 8
    tracks(often, video, Options(decide_by="masks"), chunk=3)  # an identity twice in a frame would be refused


def test_masks_are_of_what_is_tracked(run: TrainedRun, video: Path) -> None:
    chunk = next(track_chunks(run, video))
    segments = chunk.segments()
    assert segments.shape == (11, 64, 96)
    owned = set(np.unique(segments)) - {BACKGROUND}
    known = {int(each) for frame in chunk.latents for each in frame.slots.identity.unique()}
    assert owned and owned <= known


def test_the_scene_of_the_run_is_a_picture_that_can_be_changed(run: TrainedRun, video: Path) -> None:
    save_background_image(run.config, run.folder)
    background_image = load_background_image(run.folder)
    assert background_image is not None and background_image.image.shape == background_image.flicker.shape == (
        3,
        64,
        96,
    )
    images = np.stack([frame.image for frame in Video(video, ReadOptions(size=(64, 96)))])
    assert np.abs(background_image.image.astype(int) - np.median(images, 0)).mean() < 3
    Image.new("RGB", (96, 64), (255, 0, 0)).save(run.folder / BACKGROUND_IMAGE)
    tracker, _ = tracker_of(run, video, Options(background_image="run"))
    assert tracker.scalor.background_image is not None and torch.equal(
        tracker.scalor.background_image[0], torch.ones(64, 96)
    )
    tracker, _ = tracker_of(run, video, Options(background_image="video"))
    assert tracker.scalor.background_image is not None and tracker.scalor.background_image[0].max() < 1


def test_where_the_scene_moves_by_itself_is_known_in_the_whole_frame(
    make_scalor: Callable[..., Scalor], tmp_path: Path
) -> None:
    """Of the run's video, or of the tracked one where the run has no picture of it."""
    frames = squares(40, size=(128, 192), side=16, speed=4)
    water = np.random.default_rng(0).integers(-40, 40, (40, 64, 192, 1))
    frames[:, 64:] = np.clip(frames[:, 64:] + water, 0, 255)
    video = tmp_path / "lake.npy"
    np.save(video, frames)
    scalor = make_scalor(background="static", channels=3, flicker=3.0, sigma=0.05)
    data = VideoData((str(video),), ReadOptions(crop=Crop(8, 16, 96, 64), size=(32, 48)))
    run = TrainedRun(tmp_path, VideoRunConfig(data, scalor.config, TrainConfig(steps=1)), scalor)
    save_background_image(run.config, run.folder)
    for background_image in ("run", "video"):
        sigma = tracker_of(run, video, Options(background_image=background_image))[0].scalor.sigma
        assert (sigma[:, :30] == np.float32(0.05)).float().mean() > 0.95 and sigma[:, 36:].median() > 0.07
    (tmp_path / FLICKER).unlink()  # as in runs of earlier versions
    assert (tracker_of(run, video)[0].scalor.sigma == np.float32(0.05)).all()
    Image.new("RGB", (50, 40)).save(tmp_path / FLICKER)
    with pytest.raises(ConfigError, match=r"flicker.png: expected shape \(3, 64, 96\), .* got \(3, 40, 50\)"):
        tracker_of(run, video)


@pytest.mark.parametrize(("there", "found"), [(None, "got none"), ((50, 40), "got one of 50 × 40 px")])
def test_a_scene_that_does_not_fit_is_refused_or_replaced(
    run: TrainedRun, video: Path, there: tuple[int, int] | None, found: str
) -> None:
    if there is not None:
        Image.new("RGB", there).save(run.folder / BACKGROUND_IMAGE)
    with pytest.raises(ConfigError, match=found):
        tracker_of(run, video, Options(background_image="run"))
    tracker, _ = tracker_of(run, video)
    assert tracker.scalor.background_image is not None and tracker.scalor.background_image.max() > 0


def test_another_number_of_channels_is_refused(run: TrainedRun, tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", squares(4, size=(128, 192))[..., 0])
    with pytest.raises(ConfigError, match="grey.npy: expected a colour video, .* got a grey one"):
        tracker_of(run, tmp_path / "grey.npy")


def test_memory_does_not_grow_with_the_video(run: TrainedRun, video: Path) -> None:
    """What is carried over is one frame's: no trace of earlier frames hangs on it."""
    tracker, reader = tracker_of(run, video)
    for chunk in reader.chunks(2):
        tracker.advance(chunk)
        assert tracker.carried is not None
        carried = [tracker.carried.features, tracker.carried.memory, *tracker.carried.slots.objects]
        assert all(part is None or not part.requires_grad for part in carried)
        assert sum(part.numel() for part in carried if part is not None) < 100_000


def test_the_scene_follows_the_light_but_for_where_objects_are(run: TrainedRun, video: Path) -> None:
    tracker, reader = tracker_of(run, video, Options(light_step=0.01))
    assert tracker.scalor.background_image is not None
    tracker.scalor.set_background_image(torch.full_like(tracker.scalor.background_image, 0.3)[None])
    chunk = next(reader.chunks(4))
    bright = Chunk(chunk.numbers, np.full_like(chunk.frames, 200))
    found = tracker.advance(bright)
    hidden = torch.cat([frame.canvas.alpha for frame in found.latents])[:, 0].sum(0)  # for so many of four frames
    assert hidden.min() == 0 and hidden.max() > 2
    torch.testing.assert_close(tracker.scalor.background_image, (0.34 - 0.01 * hidden).expand(3, -1, -1))
