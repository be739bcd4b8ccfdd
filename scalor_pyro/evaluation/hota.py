"""HOTA (Luiten et al., IJCV 2021), computed by trackeval, an optional package."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalor_pyro.config import ConfigError
from scalor_pyro.evaluation.matching import numbered


class Similar(NamedTuple):
    """The objects of one frame, for trackeval."""

    true: NDArray[np.int64]  # (N,) identities
    reported: NDArray[np.int64]  # (P,) identities
    similarity: NDArray[np.float64]  # (N, P), from 0 to 1


class Hota(NamedTuple):
    """Means over 19 thresholds of similarity, 0.05 to 0.95; each in [0, 1]."""

    hota: float  # geometric mean, at each threshold, of the next two
    deta: float  # detection
    assa: float  # association
    loca: float  # localisation: similarity of what is matched


class HotaTally:
    """HOTA of sequences, one by one and together.

    :raises ConfigError: where trackeval is not installed.
    """

    def __init__(self) -> None:
        try:
            from trackeval.metrics import HOTA
        except ImportError as error:
            raise ConfigError(
                "HOTA needs trackeval, which is not installed: pip install 'scalor_pyro[hota]'."
            ) from error
        self._metric = HOTA()
        self._results: dict[str, dict[str, Any]] = {}

    def add(self, name: str, frames: Sequence[Similar]) -> None:
        """Count a sequence.

        :param frames: in order of time.
        """
        self._results[name] = self._metric.eval_sequence(trackeval_data(frames))

    def scores(self, name: str) -> Hota:
        """Of a sequence that was counted."""
        return _means(self._results[name])

    def total(self) -> Hota:
        """Of all of them."""
        return _means(self._metric.combine_sequences(self._results))


def trackeval_data(frames: Sequence[Similar]) -> dict[str, Any]:
    """A sequence in the form of trackeval's metrics: identities count from 0, without gaps."""
    true, true_identities = numbered([frame.true for frame in frames])
    reported, reported_identities = numbered([frame.reported for frame in frames])
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": true_identities,
        "num_tracker_ids": reported_identities,
        "num_gt_dets": sum(map(len, true)),
        "num_tracker_dets": sum(map(len, reported)),
        "gt_ids": true,
        "tracker_ids": reported,
        "similarity_scores": [frame.similarity for frame in frames],
    }


def _means(result: dict[str, Any]) -> Hota:
    return Hota(*(float(np.mean(result[name])) for name in ("HOTA", "DetA", "AssA", "LocA")))
