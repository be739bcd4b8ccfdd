"""Clips from an array, a tensor or a dataset, as a stream to train on."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from scalor_pyro.config import Stage
from scalor_pyro.inference.taught import TOLD
from scalor_pyro.training.prefetch import VideoStream

# Random numbers are drawn from generators of (seed, number, purpose): one for the order in which an epoch has the
# clips, and one for the first frame of each window.
ORDER, WINDOW = 0, 1


class Dataset(Protocol):
    """Clips (T, C, H, W) by number: a map-style :class:`torch.utils.data.Dataset`, or a list."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


Clips = Tensor | NDArray[Any] | Dataset | VideoStream


class ClipBatch(NamedTuple):
    """Some clips, each cut to the same number of frames."""

    frames: Tensor  # (B, T, C, H, W) float32 in [0, 1]

    def tensor(self, device: torch.device | str = "cpu") -> Tensor:
        """The frames, on a device."""
        return self.frames.to(device)


class ClipStream:
    """Endless random windows of clips, a pure function of seed and index.

    Each epoch has every clip once, in an order of its own; of each clip, a random window of the length asked for. An
    item of a dataset should depend on nothing but its number, or a resumed run will differ from an uninterrupted one.

    :param clips: (N, T, C, H, W), an array or a tensor; or a dataset of clips (T, C, H, W), whose lengths may differ.
        An item that is a tuple or a list, as those of :class:`torch.utils.data.TensorDataset`, is a clip and labels,
        which are ignored. Floating-point values are in [0, 1]; values of uint8 are divided by 255.
    :param seed: of order and windows.
    :param image: (C, H, W) that frames must have; None: any.
    :param workers: processes that load items of a dataset; 0: load them in a thread of this process. They are started
        as those of a :class:`~torch.utils.data.DataLoader`, so that where processes are spawned the dataset must be
        picklable, and the program guarded by ``if __name__ == "__main__"``.
    :raises ValueError: for anything else.
    """

    def __init__(
        self, clips: Any, seed: int = 0, *, image: tuple[int, int, int] | None = None, workers: int = 0
    ) -> None:
        if isinstance(clips, DataLoader | IterableDataset) or not _is_indexed(clips):
            raise ValueError(
                "clips: expected an array or tensor (N, T, C, H, W), a map-style dataset of clips (T, C, H, W), or a"
                f" stream with a method batch(start, count, frames), got {type(clips).__name__}."
            )
        if workers < 0:
            raise ValueError(f"workers: expected 0 or more, got {workers}.")
        if len(clips) == 0:
            raise ValueError("clips: expected at least one clip, got none.")
        self._clips, self._seed, self._image = clips, seed, image
        if _is_array(clips):
            _require_array(clips, image)
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)
        self._pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(clips,)) if workers else None
        if self._pool is not None:
            self._pool.submit(_frames_of_clip, 0).result()  # starts them here, and not in the thread that makes videos

    def __len__(self) -> int:
        return len(self._clips)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def require(self, stages: Iterable[Stage]) -> None:
        """Refuse a curriculum that asks for more clips or frames than there are.

        :raises ValueError: naming what is too small. Of a dataset, this looks at the first clip alone.
        """
        stages = tuple(stages)
        batch, frames = max(stage.batch for stage in stages), max(stage.frames for stage in stages)
        if len(self) < batch:
            raise ValueError(
                f"clips: expected at least {batch}, the batch of a step, got {len(self)}; cut long clips into several,"
                " or use a smaller batch."
            )
        cut(self._clips, 0, frames, self._seed, 0, self._image)

    def batch(self, start: int, count: int, frames: int | None = None) -> ClipBatch:
        """Windows of ``count`` clips from an index on.

        :param frames: length of a window; None: whole clips, which must then have the same length.
        :raises ValueError: if a clip is too short, or no clip.
        """
        wanted = [(self._clip(index), frames, self._seed, index, self._image) for index in range(start, start + count)]
        if self._pool is None:
            return ClipBatch(torch.stack([cut(self._clips, *each) for each in wanted]))
        parts = self._pool.map(_cut_by_worker, *zip(*wanted, strict=True))
        return ClipBatch(torch.from_numpy(np.stack(list(parts))))

    def _clip(self, index: int) -> int:
        """The number of the clip that an index of the stream stands for."""
        epoch, place = divmod(index, len(self))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self._seed, epoch, ORDER)).permutation(len(self))
        return int(self._order[place])


def as_stream(clips: Clips, config: Any, workers: int = 0) -> VideoStream:
    """A stream as it is, or that of clips, which must suit the config of a run.

    :param config: of the run; ``seed`` decides the order of clips.
    :param workers: see :class:`ClipStream`.
    :raises ValueError: for clips of another size than the model's, too few or too short clips, and other things.
    """
    if callable(getattr(clips, "batch", None)):
        if workers:
            raise ValueError(f"workers: expected 0 for a stream, which makes its own videos, got {workers}.")
        return clips  # type: ignore[return-value]  # which is what was asked
    image = (channels_of(config), *config.model.image_size)
    stream = ClipStream(clips, config.seed, image=image, workers=workers)
    try:
        stream.require(config.train.curriculum)
    except BaseException:
        stream.close()
        raise
    return stream


def channels_of(config: Any) -> int:
    """The channels of clips to train on: those of the model, and those that tell where objects are to a taught one.

    :param config: of the run.
    """
    channels: int = config.model.channels
    return channels + TOLD * config.train.taught


def cut(
    clips: Any, number: int, frames: int | None, seed: int, index: int, image: tuple[int, int, int] | None
) -> Tensor:
    """A random window of a clip. (T, C, H, W) float32 in [0, 1], on the CPU

    :param number: of the clip.
    :param frames: length of the window; None: the whole clip.
    :param index: in the stream; with the seed it decides the window.
    :param image: (C, H, W) that frames must have; None: any.
    :raises ValueError: if the clip is too short, or no clip.
    """
    clip, name = clips[number], f"clip {number}"
    if not _is_array(clips) and isinstance(clip, tuple | list) and len(clip) > 0:
        clip = clip[0]
    if not isinstance(clip, np.ndarray | Tensor):
        raise ValueError(f"{name}: expected an array or a tensor (T, C, H, W), got {type(clip).__name__}.")
    shape = tuple(clip.shape)
    if len(shape) != 4 or (image is not None and shape[1:] != image):
        raise ValueError(f"{name}: expected {_shape_of(image, 'T')}, got shape {shape}.")
    if shape[0] < (frames or 1):
        raise ValueError(f"{name}: expected at least {frames or 1} frames, got {shape[0]}.")
    if frames is not None:
        start = int(np.random.default_rng((seed, index, WINDOW)).integers(shape[0] - frames + 1))
        clip = clip[start : start + frames]
    return in_unit_range(clip, name)


def in_unit_range(values: Tensor | NDArray[Any], name: str) -> Tensor:
    """Pixels as float32 in [0, 1], on the CPU: those of uint8 are divided by 255.

    :raises ValueError: for another type, and for values outside [0, 1] or NaN.
    """
    pixels = values.detach().cpu() if isinstance(values, Tensor) else _tensor(values)
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    if not pixels.dtype.is_floating_point:
        raise ValueError(f"{name}: expected floating point in [0, 1] or uint8 in 0..255, got {values.dtype}.")
    low, high = pixels.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{name}: expected values in [0, 1] without NaN, got {low:g} to {high:g}.")
    return pixels.float().contiguous()


def _tensor(values: NDArray[Any]) -> Tensor:
    """A copy in the byte order of this machine; types that torch lacks (uint16) stay integers."""
    if values.dtype.kind == "f":
        return torch.from_numpy(values.astype(np.float32))
    return torch.from_numpy(values.astype(np.uint8 if values.dtype == np.uint8 else np.int64))


def _require_array(clips: Any, image: tuple[int, int, int] | None) -> None:
    """Refuse a whole array at once, unless it is on disk: then each clip is looked at when it is read."""
    shape = tuple(clips.shape)
    if len(shape) != 5 or shape[1] < 1 or (image is not None and shape[2:] != image):
        raise ValueError(f"clips: expected {_shape_of(image, 'N, T')}, got shape {shape}.")
    if not isinstance(clips, np.memmap):
        for clip in clips:
            in_unit_range(clip, "clips")


def _shape_of(image: tuple[int, int, int] | None, first: str) -> str:
    return f"({first}, {', '.join(map(str, image)) if image else 'C, H, W'})"


def _is_array(clips: Any) -> bool:
    return isinstance(clips, np.ndarray | Tensor)


def _is_indexed(clips: Any) -> bool:
    if _is_array(clips):
        return clips.ndim > 0
    return hasattr(clips, "__len__") and hasattr(clips, "__getitem__") and not isinstance(clips, str | bytes | dict)


# ------------------------------------------------------------------ in a worker

_of_worker: Any = None  # the clips


def _start_worker(clips: Any) -> None:
    global _of_worker
    _of_worker = clips
    torch.set_num_threads(1)


def _frames_of_clip(number: int) -> int:
    return len(_of_worker[number])


def _cut_by_worker(*wanted: Any) -> NDArray[np.float32]:
    window: NDArray[np.float32] = cut(_of_worker, *wanted).numpy()
    return window
