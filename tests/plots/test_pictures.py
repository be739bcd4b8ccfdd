"""Pictures: that they show what is there, for colour and grey, and for videos without any object."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse, Rectangle

from scalor_pyro.colours import identity_colour
from scalor_pyro.inference.masks import BACKGROUND
from scalor_pyro.plots import player
from scalor_pyro.plots.curves import compare_curves, learning_curves
from scalor_pyro.plots.pictures import MASK_GROUND, filmstrip, objects_picture, parts_of, save_pictures, trajectories
from scalor_pyro.plots.player import write_player
from tests.fakes import Scene, moving_squares

ROWS = [
    {"step": step, "loss": -float(step), "objects_per_frame": 3.0, "propagation_rate": 0.9, "foreground_share": None}
    for step in range(100)
]


def without_objects(scene: Scene) -> Scene:
    none = scene.inference
    empty = none._replace(
        presence=torch.zeros_like(none.presence),
        identity=torch.full_like(none.identity, -1),
        new=torch.zeros_like(none.new),
        segments=torch.full_like(none.segments, BACKGROUND),
    )
    return Scene(scene.frames, empty, scene.truths)


@pytest.fixture(params=["colour", "grey", "empty"])
def scene(request: pytest.FixtureRequest) -> Scene:
    made = moving_squares(channels=1 if request.param == "grey" else 3)
    return without_objects(made) if request.param == "empty" else made


def test_identities_have_fixed_colours_that_can_be_told_apart() -> None:
    colours = np.array([identity_colour(identity) for identity in range(24)])
    assert ((colours >= 0) & (colours <= 1)).all()
    assert (colours.max(1) > 0.5).all()  # seen on black
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 9 * np.eye(24)
    assert distances[:12, :12].min() > 0.15
    assert distances.min() > 0.1
    assert min(distances[i, i + 1] for i in range(23)) > 0.4


def test_the_filmstrip_boxes_each_object_and_circles_new_ones() -> None:
    scene = moving_squares(frames=3, objects=2, image_size=(24, 32))  # identity 1 arrives in frame 2
    figure = filmstrip(scene.frames, scene.inference, video=1)
    assert len(figure.axes) == 5 * 3
    of_frames = [axes.patches for axes in figure.axes[3:6]]
    assert [sum(isinstance(patch, Rectangle) for patch in patches) for patches in of_frames] == [1, 1, 2]
    assert [sum(isinstance(patch, Ellipse) for patch in patches) for patches in of_frames] == [1, 0, 1]
    box = next(patch for patch in of_frames[1] if isinstance(patch, Rectangle))
    first = scene.truths[1].frame == 1
    np.testing.assert_allclose(box.get_center(), [scene.truths[1].x[first][0], scene.truths[1].y[first][0]], atol=1e-4)
    np.testing.assert_allclose(to_rgb(box.get_edgecolor()), identity_colour(0))


def test_masks_have_the_colours_of_their_identities() -> None:
    inference = moving_squares().inference
    masks = parts_of(inference, 0, 2)[2]
    segments = inference.segments[0, 2].numpy()
    assert set(np.unique(segments)) == {BACKGROUND, 0, 1}
    np.testing.assert_allclose(masks[segments == 1], [identity_colour(1)] * (segments == 1).sum())
    np.testing.assert_allclose(masks[segments == BACKGROUND], MASK_GROUND)


def test_a_long_video_is_shown_by_some_of_its_frames() -> None:
    long = moving_squares(videos=1, frames=23, slots=2)
    titles = [axes.get_title() for axes in filmstrip(long.frames, long.inference).axes[:10]]
    assert (titles[0], titles[-1], len(set(titles))) == ("t = 0", "t = 22", 10)


def test_objects_are_shown_one_row_for_each_identity() -> None:
    scene = moving_squares(frames=3, slots=5, objects=4)
    figure = objects_picture(scene.frames, scene.inference)
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["0", "1", "2", "3"]
    glimpse = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(glimpse[8, 8], scene.inference.appearance[0, 0, 0, :3, 8, 8], atol=1e-6)
    assert glimpse[0, 0].std() == 0 and glimpse[0, 0, 0] > 0.3  # the checkerboard where nothing is


def test_paths_break_where_an_object_was_not_seen() -> None:
    scene = moving_squares(videos=1, frames=5, objects=2)
    scene.inference.presence[0, :, 0] = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    figure = trajectories(scene.frames, scene.inference, truth=scene.truths[0])
    paths = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    truths = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert np.isnan(paths[0].get_xdata()).tolist() == [False, False, True, False, False]
    assert [len(line.get_xdata()) for line in truths] == [5, 1]


def test_pictures_are_saved_for_any_video(scene: Scene, tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "new" / "folder", scene.frames, scene.inference, 1, scene.truths[1], ROWS)
    assert [path.name for path in paths] == ["filmstrip.png", "objects.png", "trajectories.png", "learning_curves.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in paths)


def test_learning_curves_show_what_there_is() -> None:
    evaluations = [{"step": 50, "mota": 0.5, "evaluation": True, "propagation_rate": 0.1}, {"step": 99, "mota": 0.9}]
    axes = learning_curves([*ROWS, *evaluations]).axes
    assert [each.get_title() for each in axes] == [
        "loss",
        "objects per frame",
        "propagation and foreground",
        "MOTA at evaluations",
    ]
    assert axes[3].lines[0].get_xydata().tolist() == [[50, 0.5], [99, 0.9]]
    assert min(axes[2].lines[0].get_ydata()) == 0.9  # from training alone
    assert len(learning_curves([{"step": 0, "loss": 1.0}]).axes) == 1
    with pytest.raises(ValueError, match="rows: expected at least one with a step and one of loss"):
        learning_curves([{"step": 3, "mota": float("nan")}])


def test_trainings_are_compared_key_by_key() -> None:
    trainings = {name: [{"step": step, "a": step * 1.0} for step in (1, 2, 3)] for name in ("one", "other")}
    trainings["other"][1]["a"] = None
    figure = compare_curves(trainings, {"a": "A"})
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["one", "other"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [1, 3]]
    assert axes.get_title() == "A"
    with pytest.raises(ValueError, match="trainings: expected at least one value of b, got none"):
        compare_curves(trainings, {"a": "A", "b": "B"})


def test_the_player_is_one_file_with_a_slider_and_all_frames(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "player.html"
    write_player(path, scene.frames, scene.inference, video=1, title="a < b")
    html = path.read_text(encoding="utf-8")
    assert "http" not in html and "<link" not in html and 'type="range"' in html
    assert "<title>a &lt; b</title>" in html
    embedded = re.findall(r'frames\[(\d)\] = "data:image/png;base64,([^"]+)"', html)
    assert [number for number, _ in embedded] == ["0", "1", "2"]
    assert all(base64.b64decode(data.replace("\\\n", "")).startswith(b"\x89PNG") for _, data in embedded)
    buttons = set(re.findall(r'class="fa fa-([a-z-]+)', html))
    assert all(f".fa-{button}::before" in html for button in buttons)


def test_a_player_of_ten_frames_is_small(tmp_path: Path) -> None:
    scene = moving_squares(videos=1, frames=10, slots=20, objects=20, image_size=(64, 64))
    write_player(tmp_path / "player.html", scene.frames, scene.inference)
    assert (tmp_path / "player.html").stat().st_size < 2_000_000


def test_a_player_that_would_be_large_has_all_frames_in_smaller_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = moving_squares(videos=1, frames=12, slots=5, image_size=(24, 32))
    path, sizes = tmp_path / "player.html", []
    for limit in (20_000_000, 230_000, 50_000):
        monkeypatch.setattr(player, "LARGEST_FILE", limit)
        write_player(path, scene.frames, scene.inference)
        assert path.read_text().count('"data:image/png;base64,') == 12
        sizes.append(path.stat().st_size)
    assert sizes[1] < 230_000 < sizes[0]
    assert len(caplog.messages) == 1 and "its 12 frames take" in caplog.messages[0]


def test_the_player_counts_frames_as_the_file_does_and_takes_any_name(tmp_path: Path) -> None:
    scene = moving_squares(videos=1)
    write_player(tmp_path / "player.html", scene.frames, scene.inference, title="caf\udce9", numbers=[0, 5, 10])
    assert "<title>caf\\udce9</title>" in (tmp_path / "player.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="numbers: expected 3, one for each frame, got 2."):
        write_player(tmp_path / "player.html", scene.frames, scene.inference, numbers=[0, 5])


@pytest.mark.parametrize("draw", [filmstrip, objects_picture, trajectories])
def test_pictures_refuse_what_does_not_belong_together(draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scene = moving_squares()
    with pytest.raises(ValueError, match="video: expected a number from 0 to 1, got 2"):
        draw(scene.frames, scene.inference, 2)
    with pytest.raises(
        ValueError,
        match=r"frames: expected the shape of the reconstruction, \(2, 3, 3, 24, 32\), got \(1, 3, 3, 24, 32\)",
    ):
        draw(scene.frames[:1], scene.inference)
    with pytest.raises(ValueError, match="video: .* got -1"):
        save_pictures(tmp_path / "folder", scene.frames, scene.inference, -1)
    assert not (tmp_path / "folder").exists()
