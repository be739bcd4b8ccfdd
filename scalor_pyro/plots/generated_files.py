"""The files that are left of generated videos: film strips, a player, figures, and the arrays of all samples."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.evaluation.metrics import without_nan
from scalor_pyro.files import OutputError, explained, require_new, write_atomically, written_whole
from scalor_pyro.inference.generation import Generated
from scalor_pyro.plots.generated import Row, save_strip, write_generation_player

# Videos that are kept of a batch, unless told otherwise.
SHOWN_VIDEOS = 4
# Samples in a film strip: under a truth and the mean, or alone. The player has room for fewer.
SHOWN_SAMPLES, SHOWN_ROWS, SHOWN_PANELS = 3, 8, 5


class GenerationFiles:
    """Writes to `folder` what is generated while it passes, with memory for a few samples, however many there are::

        with GenerationFiles("out", "forecast", observed=5) as files:
            for sample in files.passing(forecast(scalor, x, observed=5, frames=10, samples=1000), x):
                ...

    - ``forecast_0.png``, …: a film strip of each video;
    - ``player.html``: plays the first of them;
    - ``forecast.npz``: all samples, ``y``, ``presence``, ``where``, ``identity`` as in
      :class:`~scalor_pyro.inference.generation.Generated` with an axis in front for the samples; ``observed``; and
      where there is a truth, ``x`` (V, T, C, H, W) and the ``mean`` of the samples;
    - ``forecast.json``: where there are figures (:meth:`add_figures`).

    They are in their places when the block has ended, and not if it ends with an error.

    :param folder: is made where it does not exist.
    :param kind: of what is generated, in the names of the files.
    :param observed: how many frames were seen.
    :param videos: how many of a batch are kept, the first ones.
    :param overwrite: replace files that exist; else they are refused here, before any work.
    :raises OutputError: for a file that exists, or cannot be written.
    """

    def __init__(
        self, folder: str | Path, kind: str, observed: int, videos: int = SHOWN_VIDEOS, overwrite: bool = False
    ) -> None:
        self.folder, self.kind, self.observed, self.videos = Path(folder), kind, observed, videos
        self.player, self.figures = self.folder / "player.html", self.folder / f"{kind}.json"
        self.archive = SampleArchive(self.folder / f"{kind}.npz")
        for path in (self._strip(0), self.player, self.archive.path, self.figures):
            require_new(path, overwrite)
        self._shown: list[Generated] = []
        self._x: Tensor | None = None
        self._total: Tensor | None = None  # of y, over the samples
        self._figures: bytes | None = None

    def __enter__(self) -> "GenerationFiles":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: the folder could not be made ({error.strerror}).") from error
        self.archive.open()
        return self

    def passing(self, samples: Iterable[Generated], x: Tensor | None = None) -> Iterator[Generated]:
        """The samples as they come. Those of the first batch are kept, those of later ones only pass.

        :param x: (B, T, C, H, W) in [0, 1], the true frames, T as many as are generated; None where there are none.
        :raises OutputError: for a sample that is not finite, as damaged weights give it.
        """
        if self.archive.count:
            yield from samples
            return
        self._x = None if x is None else x[: self.videos].cpu()
        shown = SHOWN_ROWS if x is None else SHOWN_SAMPLES
        for sample in samples:
            ours = Generated(*(part[: self.videos].cpu() for part in sample))
            if not bool(torch.isfinite(ours.y).all()):
                raise OutputError(f"{self.folder}: expected finite pixels, got NaN or infinity; check the weights.")
            self.archive.add(ours)
            if self._x is not None:
                self._total = ours.y if self._total is None else self._total + ours.y
            if len(self._shown) < shown:
                self._shown.append(ours)
            yield sample

    def take(self, samples: Iterable[Generated], x: Tensor | None = None) -> None:
        """Let samples pass that nobody else reads."""
        for _ in self.passing(samples, x):
            pass

    def add_figures(self, figures: Mapping[str, Any]) -> None:
        """Figures to be written; those that are not numbers become null."""
        self._figures = json.dumps(without_nan(figures), indent=1).encode()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None and self.archive.count:
                self._write()
        finally:
            self.archive.close()

    def _write(self) -> None:
        mean = None if self._total is None else self._total / self.archive.count
        about = {"observed": np.array(self.observed)}
        if self._x is not None and mean is not None:
            about |= {"x": self._x.numpy(), "mean": mean.numpy()}
        self.archive.write(about)
        for video in range(len(self._shown[0].y)):
            rows = [] if self._x is None else [Row("truth", self._x[video])]
            rows += [] if mean is None else [Row(f"mean of {self.archive.count}", mean[video])]
            rows += [Row(f"sample {n}", sample.y[video], sample, video) for n, sample in enumerate(self._shown, 1)]
            save_strip(self._strip(video), rows, self.observed)
            if video == 0:
                title = f"SCALOR: {self.kind}"
                write_generation_player(self.player, rows[:SHOWN_PANELS], self.observed, title)
        if self._figures is not None:
            write_atomically(self.figures, self._figures)

    def _strip(self, video: int) -> Path:
        return self.folder / f"{self.kind}_{video}.png"


class SampleArchive:
    """A numpy archive (.npz) of samples, with memory for one of them: until it is written they lie in nameless files
    beside it.

    :param path: of the archive.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._files = ExitStack()
        self._parts: dict[str, IO[bytes]] = {}
        self._like: dict[str, NDArray[Any]] = {}  # the last sample

    def open(self) -> None:
        """Make ready to take samples.

        :raises OutputError: if nothing can be written beside the archive.
        """
        with explained(self.path):
            for name in Generated._fields:
                self._parts[name] = self._files.enter_context(tempfile.TemporaryFile(dir=self.path.parent))

    def add(self, sample: Generated) -> None:
        """Take a sample, of the shape of the others."""
        self._like = {name: part.numpy() for name, part in sample._asdict().items()}
        with explained(self.path):
            for name, array in self._like.items():
                self._parts[name].write(array.tobytes())
        self.count += 1

    def write(self, others: Mapping[str, NDArray[Any]]) -> None:
        """Write the archive.

        :param others: arrays that it shall hold beside the samples.
        """
        with written_whole(self.path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in others.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
            for name, part in self._parts.items():
                like = self._like[name]
                about = {"descr": like.dtype.str, "fortran_order": False, "shape": (self.count, *like.shape)}
                part.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, about)
                    shutil.copyfileobj(part, entry)

    def close(self) -> None:
        """Drop what has not been written."""
        self._files.close()
