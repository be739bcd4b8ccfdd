"""Scores and pictures of models of whole frames, which have no tracks but reconstruct and forecast frames."""

import io
from typing import Any

import pyro
import torch
from matplotlib.figure import Figure
from torch import Tensor

from scalor_pyro.data import SyntheticVideos, VideoBatch
from scalor_pyro.experiments.synthetic import EVALUATION_BATCH
from scalor_pyro.files import write_atomically
from scalor_pyro.inference.generation import forecast, imagine
from scalor_pyro.inference.posterior import at_mode
from scalor_pyro.plots.curves import learning_curves
from scalor_pyro.plots.generated import Row, generation_strip, save_strip
from scalor_pyro.runs.folder import RunFolder

# Number of forecasts and of imagined videos in the pictures.
SHOWN_SAMPLES = 3


def reconstruction(program: Any, x: Tensor) -> Tensor:
    """Reconstruction at the mode of the posterior. (B, T, C, H, W) → the same shape, in [0, 1]

    :raises ValueError: if x is not a batch of videos of the size that the model is for.
    """
    frames: Tensor = torch.stack(at_mode(program, x), 1).clamp(0, 1)
    return frames


class Frames:
    """The assessment of programs without objects."""

    def scores(
        self, program: Any, videos: SyntheticVideos, count: int, start: int = 0, folder: RunFolder | None = None
    ) -> dict[str, float]:
        """``mse`` of the reconstruction per pixel and channel, over all frames."""
        device = next(program.parameters()).device
        squared_error, pixels = 0.0, 0
        for first in range(start, start + count, EVALUATION_BATCH):
            x = videos.batch(first, min(EVALUATION_BATCH, start + count - first)).tensor(device)
            squared_error += float((reconstruction(program, x).double() - x).square().sum())
            pixels += x.numel()
        return {"mse": squared_error / pixels}

    def glance(self, program: Any, frames: Tensor) -> Figure:
        """The first video and its reconstruction."""
        return generation_strip(self._rows(program, frames), observed=frames.shape[1])

    def leave_pictures(self, program: Any, batch: VideoBatch, folder: RunFolder) -> None:
        """``reconstruction.png``, ``forecast.png``, ``imagined.png``, and, with metrics, ``learning_curves.png``."""
        x = batch.tensor(next(program.parameters()).device)
        length = x.shape[1]
        seen = (length + 1) // 2
        folder.pictures.mkdir(exist_ok=True)
        pyro.set_rng_seed(0)  # of the samples
        rows = self._rows(program, x)
        save_strip(folder.pictures / "reconstruction.png", rows, observed=length)
        if seen < length:
            samples = enumerate(forecast(program, x, seen, length, SHOWN_SAMPLES), 1)
            forecasts = [Row(f"sample {n}", sample.y[0].cpu()) for n, sample in samples]
            save_strip(folder.pictures / "forecast.png", [rows[0], *forecasts], observed=seen)
        imagined = enumerate(imagine(program, length, SHOWN_SAMPLES), 1)
        rows = [Row(f"sample {n}", sample.y[0].cpu()) for n, sample in imagined]
        save_strip(folder.pictures / "imagined.png", rows, observed=0)
        logged = [row for row in folder.rows() if "loss" in row]
        if logged:  # a short training ends before its first row
            png = io.BytesIO()
            learning_curves(logged).savefig(png, format="png", dpi=130)
            write_atomically(folder.pictures / "learning_curves.png", png.getvalue())

    def _rows(self, program: Any, x: Tensor) -> list[Row]:
        return [Row("truth", x[0].cpu()), Row("reconstructed", reconstruction(program, x[:1])[0].cpu())]
