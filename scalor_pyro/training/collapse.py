"""Watch a training for collapse: no objects, no tracking, or one layer that explains everything.

:class:`CollapseWatch` warns of each kind; :class:`VanishWatch` stops a training that loses its objects at the start, so
that it can begin again with other settings.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scalor_pyro.config import ModelConfig
from scalor_pyro.training.callbacks import Callback, Training

logger = logging.getLogger(__name__)

# Earlier steps say little: networks have hardly learned, and propagation may be held at its bias.
WARMUP_STEPS = 200
# This many logged rows in succession must agree: one odd batch is no collapse.
PATIENCE = 5
# Objects per frame below which there are none: one in twenty frames.
NO_OBJECT = 0.05
# Share of propagated objects below which tracking has failed; in healthy training it is above 0.9.
REDISCOVERY = 0.2
# Share of slots in use above which some of them draw background: there should be more slots than objects.
FULL = 0.9
# Share of the picture drawn by objects below which the background draws all of it.
NO_FOREGROUND = 1e-3
# Objects may vanish as soon as they are free to, after step 60 (discovery_bound); after step 300 they do so for other
# reasons. Rows in succession that must agree.
VANISH_FROM, VANISH_UNTIL, VANISH_ROWS = 60, 300, 2


class Collapse(NamedTuple):
    """A way in which training fails."""

    kind: str
    advice: str  # the symptom, and what to try


NO_OBJECTS_FOUND = Collapse(
    "no object",
    "No objects are found any more. Try a higher discovery_prior for longer, a discovery_bound of 1.5 for the first "
    "steps, or an object_size closer to the size of the objects.",
)
ALL_REDISCOVERED = Collapse(
    "everything rediscovered",
    "Objects are rediscovered in each frame instead of being tracked. Switch rejection on, lower reject_propagated, or "
    "hold propagation at its bias for the first steps (propagation_release).",
)
ALL_BACKGROUND = Collapse(
    "background explains everything",
    "The background explains everything, and objects draw nothing. Switch colour_start and contrast_input on, keep "
    "discovery_bound small for the first steps, or make the background latent smaller (z_bg_grid, z_bg_extra). If the "
    "camera stands still, use a static background and set its image (Scalor.set_background_image).",
)
ALL_SCENE = Collapse(
    ALL_BACKGROUND.kind,
    "The background explains everything, and objects draw nothing. Try half the sigma, so that fainter objects count; "
    "check with scalor info --out that its boxes are on objects; and keep colour_start, difference_input and the small "
    "discovery_bound of the first steps as scalor train sets them.",
)
ALL_FOREGROUND = Collapse(
    "objects explain the background",
    "Objects explain the background: they take nearly all slots, or draw more of the picture than all slots should "
    "cover. If the background moves, make its latent larger (z_bg_grid, z_bg_extra). If it is static, set its image "
    "before training, as scalor train does; if a part of it moves by itself, crop that part off, or set flicker to 3. "
    "If every box is on an object, use more slots.",
)


def collapse(rows: Sequence[Mapping[str, Any]], model: ModelConfig) -> Collapse | None:
    """The collapse that the last rows of the metrics show, or None.

    :param rows: rows of a training with ``step``, ``objects_per_frame``, ``propagation_rate`` and
        ``foreground_share``, oldest first; a statistic that is missing or None counts against a collapse.
    :param model: config of the model.
    """
    recent = rows[-PATIENCE:]
    if len(recent) < PATIENCE or recent[0]["step"] <= WARMUP_STEPS:
        return None
    if all("objects_per_frame" not in row for row in recent):  # of a model without objects
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
    """Share of the picture that K objects of the typical size cover if none overlap; above 1 in crowds."""
    return model.slots * model.object_size**2 / math.prod(model.image_size)


class CollapseWatch:
    """Warns of each kind of collapse once.

    :param model: config of the model.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.model = model
        self.rows: Sequence[Mapping[str, Any]] = []
        self.warned: set[str] = set()

    def look(self, row: Mapping[str, Any]) -> Collapse | None:
        """Add a row; returns, and logs, a collapse that has not been warned of yet."""
        self.rows = [*self.rows, row][-PATIENCE:]
        found = collapse(self.rows, self.model)
        if found is None or found.kind in self.warned:
            return None
        self.warned.add(found.kind)
        logger.warning("Collapse (%s) at step %d. %s", found.kind, row["step"], found.advice)
        return found


def vanished(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether objects have vanished at the start of a training.

    :param rows: the last rows of the metrics, oldest first.
    """
    recent = rows[-VANISH_ROWS:]
    early = all(VANISH_FROM < row["step"] <= VANISH_UNTIL for row in recent)
    shares = [row.get("foreground_share") for row in recent]
    return early and len(recent) == VANISH_ROWS and all(each is not None and each < NO_FOREGROUND for each in shares)


class VanishWatch(Callback):
    """Stops a training whose objects vanish at its start."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        #: The step at which objects had vanished; None: they have not.
        self.step: int | None = None

    def on_start(self, training: Training) -> None:
        self._training = training

    def on_row(self, row: Mapping[str, Any]) -> None:
        self._rows = [*self._rows, row][-VANISH_ROWS:]
        if self.step is None and vanished(self._rows):
            self.step = int(row["step"])
            self._training.stop()
