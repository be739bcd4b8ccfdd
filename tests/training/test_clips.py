"""Clips from arrays and datasets: an order and windows that depend on seed and index alone, and clear refusals."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import scalor_pyro
from scalor_pyro.config import ClipRunConfig, ConfigError, ModelConfig, Stage, TrainConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.loading import load_config
from scalor_pyro.training.callbacks import Callback
from scalor_pyro.training.clips import ClipStream
from tests.fake_training import FakeScalor, FakeVideos, fake_config, fake_train

QUIET: dict[str, Any] = {"progress": False, "tensorboard": False}


def numbered(clips: int, frames: int) -> Tensor:
    """(N, T, 1, 1, 1) where clip n and frame t have the value (100 n + t) / 2 ** 15."""
    values = 100 * torch.arange(clips)[:, None] + torch.arange(frames)
    return (values / 2**15)[:, :, None, None, None]


def shown(stream: ClipStream, start: int, count: int, frames: int) -> list[tuple[int, int]]:
    """Clip and first frame of each window; a window must be of consecutive frames."""
    values = (stream.batch(start, count, frames).frames[:, :, 0, 0, 0] * 2**15).round().long()
    assert torch.equal(values, values[:, :1] + torch.arange(frames))
    return [(int(first) // 100, int(first) % 100) for first in values[:, 0]]


class Items(Dataset[Any]):
    """A dataset of the clips of an array."""

    def __init__(self, clips: Any) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Any:
        return self.clips[index]


@given(
    clips=st.integers(1, 9), length=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), start=st.integers(0, 40),
    data=st.data(),
)  # fmt: skip
def test_a_window_depends_on_seed_and_index_alone(
    clips: int, length: int, seed: int, start: int, data: st.DataObject
) -> None:
    frames = data.draw(st.integers(1, length))
    array = numbered(clips, length)
    whole = shown(ClipStream(array, seed), 0, 50, frames)
    assert shown(ClipStream(Items(array), seed), start, 7, frames) == whole[start : start + 7]
    for epoch in range(50 // clips):
        assert sorted(clip for clip, _ in whole[epoch * clips : (epoch + 1) * clips]) == list(range(clips))
    assert all(0 <= first <= length - frames for _, first in whole)


def test_another_seed_has_another_order_and_each_epoch_its_own() -> None:
    first, second = (shown(ClipStream(numbered(40, 9), seed), 0, 80, 4) for seed in (0, 1))
    assert first != second and first[:40] != first[40:]
    assert len({start for _, start in first}) == 6, "windows begin anywhere"


@pytest.mark.parametrize(
    "kind",
    [
        lambda clips: clips,
        lambda clips: clips.numpy(),
        lambda clips: clips.double(),
        lambda clips: clips.numpy().astype(">f8"),
        lambda clips: clips.half().float(),
        lambda clips: clips.numpy()[::-1][::-1],
        lambda clips: Items(clips),
        lambda clips: Items(clips.numpy()),
        lambda clips: TensorDataset(clips, torch.arange(len(clips))),
        lambda clips: list(clips),
    ],
)
def test_all_kinds_of_clips_are_one_stream(kind: Callable[[Tensor], Any]) -> None:
    clips = torch.randint(0, 256, (4, 5, 3, 2, 6)) / 256  # which every floating type has exactly
    batch = ClipStream(kind(clips), 3).batch(2, 5, 3).tensor()
    assert batch.dtype == torch.float32 and torch.equal(batch, ClipStream(clips, 3).batch(2, 5, 3).frames)


def test_bytes_are_divided_by_255_and_never_changed() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 1, 2, 2), dtype=np.uint8)
    clips.flags.writeable = False
    for given_clips in (clips, torch.tensor(clips), list(clips)):
        frames = ClipStream(given_clips).batch(0, 3, 4).frames
        order = [int(np.abs(clips / np.float32(255) - clip.numpy()).sum((1, 2, 3, 4)).argmin()) for clip in frames]
        assert sorted(order) == [0, 1, 2]
        assert np.array_equal(frames.numpy(), clips[order] / np.float32(255))


def test_a_map_on_disk_is_read_clip_by_clip(tmp_path: Path) -> None:
    clips = numbered(3, 4).numpy()
    np.save(tmp_path / "clips.npy", clips)
    on_disk = np.load(tmp_path / "clips.npy", mmap_mode="r")
    assert shown(ClipStream(on_disk), 0, 6, 2) == shown(ClipStream(clips), 0, 6, 2)


def test_workers_give_the_same_clips() -> None:
    clips = Items(numbered(5, 6))
    stream = ClipStream(clips, 1, workers=2)
    assert shown(stream, 3, 8, 4) == shown(ClipStream(clips, 1), 3, 8, 4)
    stream.close()


# ------------------------------------------------------------------ refusals


class Endless(IterableDataset[Any]):
    """No map-style dataset."""

    def __iter__(self) -> Any:
        return iter(())


IMAGE = (3, 64, 64)


def blank(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (blank(4, 3, *IMAGE), r"clips: expected at least 5, the batch of a step, got 4; .*"),
        (blank(5, 2, *IMAGE), r"clip \d: expected at least 3 frames, got 2\."),
        (Items(blank(5, 2, *IMAGE)), r"clip 0: expected at least 3 frames, got 2\."),
        (blank(5, 3, 1, 64, 64), r"clips: expected \(N, T, 3, 64, 64\), got shape \(5, 3, 1, 64, 64\)\."),
        (blank(5, 3, 64, 64), r"clips: expected \(N, T, 3, 64, 64\), got shape \(5, 3, 64, 64\)\."),
        (blank(5, 0, *IMAGE), r"clips: expected \(N, T, 3, 64, 64\), got shape \(5, 0, 3, 64, 64\)\."),
        (blank(0, 3, *IMAGE), r"clips: expected at least one clip, got none\."),
        (Items(blank(5, 3, 64, 64)), r"clip 0: expected \(T, 3, 64, 64\), got shape \(3, 64, 64\)\."),
        (
            blank(5, 3, *IMAGE, dtype=torch.int64),
            r"clips: expected floating .* or uint8 in 0..255, got .*int64\.",
        ),
        (np.zeros((5, 3, *IMAGE), np.uint16), r"clips: expected floating point .*, got uint16\."),
        (np.zeros((5, 3, *IMAGE), bool), r"clips: expected floating point .*, got bool\."),
        (blank(5, 3, *IMAGE) + 1.5, r"clips: expected values in \[0, 1\] without NaN, got 1\.5 to 1\.5\."),
        (blank(5, 3, *IMAGE) - 0.5, r"clips: expected values in \[0, 1\].*"),
        (blank(5, 3, *IMAGE) / 0, r"clips: expected values in \[0, 1\].*"),
        (["a.mp4"] * 5, r"clip 0: expected an array or a tensor \(T, C, H, W\), got str\."),
        ("a.mp4", r"clips: expected an array or tensor .*, got str\."),
        (Endless(), r"clips: expected an array .*, got Endless\."),
        (DataLoader(Items(blank(5, 3, *IMAGE))), r"clips: expected an array .*, got DataLoader\."),
        (None, r"clips: expected an array .*, got NoneType\."),
    ],
)
def test_unsuitable_clips_are_refused_before_anything_is_written(tmp_path: Path, clips: Any, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        fake_train(tmp_path / "run", clips=clips)
    assert re.fullmatch(message, str(refusal.value)), refusal.value
    assert not (tmp_path / "run").exists()


def test_a_short_or_wrong_clip_further_on_is_named(tmp_path: Path) -> None:
    clips = [blank(3, *IMAGE) for _ in range(9)]
    clips[6] = blank(2, *IMAGE)
    with pytest.raises(ValueError, match="clip 6: expected at least 3 frames, got 2"):
        fake_train(tmp_path, clips=clips)


def test_workers_of_a_stream_are_refused() -> None:
    with pytest.raises(ValueError, match="workers: expected 0 for a stream"):
        fake_train(None, clips=FakeVideos(), workers=2)
    with pytest.raises(ValueError, match="workers: expected 0 or more, got -1"):
        fake_train(None, clips=blank(5, 3, *IMAGE), workers=-1)


# ------------------------------------------------------------------ a training


def test_a_resumed_run_on_clips_is_bit_identical(tmp_path: Path) -> None:
    clips = torch.rand(7, 4, *IMAGE, generator=torch.Generator().manual_seed(0))
    whole, parted = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "whole", whole, clips=clips)

    class Stop(Callback):
        def on_start(self, training: Any) -> None:
            self.training = training

        def on_step(self, step: int, loss: Tensor) -> None:
            if step == 5:
                self.training.stop()

    result = fake_train(tmp_path / "parted", parted, clips=clips, callbacks=[Stop()])
    assert result.interrupted and result.step == 5
    resumed = FakeScalor(seed=1)
    fake_train(tmp_path / "parted", resumed, clips=clips, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_model_trained_on_an_array_is_loaded_from_its_folder(
    tmp_path: Path, tiny: Callable[..., ModelConfig]
) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (4, 5, 3, 32, 48), dtype=np.uint8)
    scalor, config = Scalor(tiny()), TrainConfig(steps=2, curriculum=(Stage(1.0, 3, 2),))
    result = scalor_pyro.train(scalor, clips, config, folder=tmp_path / "mine", seed=4, **QUIET)
    assert result.step == 2 and not result.interrupted
    loaded = Scalor.from_pretrained(tmp_path / "mine")
    assert all(torch.equal(a, b) for a, b in zip(scalor.parameters(), loaded.parameters(), strict=True))
    assert load_config(tmp_path / "mine", ClipRunConfig) == ClipRunConfig(scalor.config, config, 4)


def test_without_a_folder_nothing_is_written_and_the_model_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, free = FakeScalor(), FakeScalor()
    fake_train(tmp_path / "run", kept)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = fake_train(None, free, tensorboard=True)
    assert result.step == 12 and list(Path().iterdir()) == []
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), free.parameters(), strict=True))
    with pytest.raises(ConfigError, match="resume: expected the folder"):
        fake_train(None, resume=True)


def test_the_seed_is_that_of_the_run() -> None:
    config = fake_config()
    same, other, bare = FakeScalor(), FakeScalor(), FakeScalor()
    fake_train(None, same, config, seed=config.seed)
    fake_train(None, bare, config.train, seed=config.seed)  # type: ignore[arg-type]
    fake_train(None, other, config.train, seed=8)  # type: ignore[arg-type]
    assert torch.equal(same.decode.bias, bare.decode.bias) and not torch.equal(same.decode.bias, other.decode.bias)
    with pytest.raises(ConfigError, match="seed: expected 7, that of the run's config, or none, got 8"):
        fake_train(None, config=config, seed=8)
