"""Watch a training for collapse: no objects, no tracking, or one layer that explains everything."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scalor_pyro.config import ModelConfig

logger = logging.getLogger(__name__)

# Before this step networks are still finding their feet, and propagation may be held at its bias.
WARMUP_STEPS = 200
# So many logged rows in a row must agree: one odd batch is no collapse.
PATIENCE = 5
# Fewer objects per frame than this is none: one in twenty frames.
NO_OBJECT = 0.05
# Below this share of propagated objects, tracking has died; it is above 0.9 where it lives.
REDISCOVERY = 0.2
# Slots are more than objects; with this share of them taken at all times, some draw what is no object.
FULL = 0.9
# Share of the picture drawn by objects, below which the background draws it all.
NO_FOREGROUND = 1e-3


class Collapse(NamedTuple):
    """A way in which training has died."""

    kind: str
    advice: str  # what is seen, and what to try


NO_OBJECTS_FOUND = Collapse(
    "no object",
    "No object is found any more: try a higher discovery_prior for longer, a discovery_bound of 1.5 for the first "
    "steps, or an object_size nearer to the objects'.",
)
ALL_REDISCOVERED = Collapse(
    "everything rediscovered",
    "Objects are rediscovered in each frame instead of being tracked: switch rejection on, lower reject_propagated, or "
    "hold propagation at its bias for the first steps (propagation_release).",
)
ALL_BACKGROUND = Collapse(
    "background explains everything",
    "The background explains everything and objects draw nothing: switch colour_start and contrast_input on, keep "
    "discovery_bound small for the first steps, or give the background fewer numbers (z_bg_grid, z_bg_extra); where "
    "the camera stands still, take a static background and set its scene.",
)
ALL_SCENE = Collapse(
    ALL_BACKGROUND.kind,
    "The background explains everything and objects draw nothing: try half the sigma, so that fainter objects count, "
    "look with scalor info --out whether its boxes are on objects, and leave colour_start, difference_input and a "
    "small discovery_bound for the first steps as scalor train has them.",
)
ALL_FOREGROUND = Collapse(
    "objects explain the background",
    "Objects take nearly all slots, or draw more of the picture than all slots should cover, and so explain the "
    "background: give a moving background more numbers (z_bg_grid, z_bg_extra); set the scene of a static one before "
    "training, as scalor train does, and where it moves by itself crop that part off, or set flicker to 3; if each box "
    "is on an object, give more slots.",
)


def collapse(rows: Sequence[Mapping[str, Any]], model: ModelConfig) -> Collapse | None:
    """Say whether the last rows of the metrics show a collapse.

    :param rows: rows of a training with ``step``, ``objects_per_frame``, ``propagation_rate`` and
        ``foreground_share``, oldest first; a statistic that is missing or None speaks against a collapse.
    :param model: what is trained.
    """
    recent = rows[-PATIENCE:]
    if len(recent) < PATIENCE or recent[0]["step"] <= WARMUP_STEPS:
        return None

    def all_between(name: str, low: float, high: float) -> bool:
        return all(row.get(name) is not None and low <= row[name] < high for row in recent)

    if model.background != "none":
        if all_between("foreground_share", 0.0, NO_FOREGROUND):
            return ALL_SCENE if model.background == "static" else ALL_BACKGROUND
        crowded = all_between("objects_per_frame", FULL * model.slots, math.inf)
        if crowded or all_between("foreground_share", most_foreground(model), math.inf):
            return ALL_FOREGROUND
    if all_between("objects_per_frame", 0.0, NO_OBJECT):
        return NO_OBJECTS_FOUND
    if all_between("objects_per_frame", NO_OBJECT, math.inf) and all_between("propagation_rate", 0.0, REDISCOVERY):
        return ALL_REDISCOVERED
    return None


def most_foreground(model: ModelConfig) -> float:
    """Share of the picture that K objects of the typical size cover, apart from each other; above 1 in crowds."""
    return model.slots * model.object_size**2 / math.prod(model.image_size)


class CollapseWatch:
    """Warns of each kind of collapse once.

    :param model: what is trained.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.model = model
        self.rows: Sequence[Mapping[str, Any]] = []
        self.warned: set[str] = set()

    def look(self, row: Mapping[str, Any]) -> Collapse | None:
        """Take in a new row; gives back (and logs) a collapse that has not been warned of yet."""
        self.rows = [*self.rows, row][-PATIENCE:]
        found = collapse(self.rows, self.model)
        if found is None or found.kind in self.warned:
            return None
        self.warned.add(found.kind)
        logger.warning("Collapse (%s) at step %d. %s", found.kind, row["step"], found.advice)
        return found
