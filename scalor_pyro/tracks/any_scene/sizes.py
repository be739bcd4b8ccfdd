"""At which scale is a video to be seen? A network says how large the objects are that a survey has found.

A survey compares frames with the background: it takes the parts of long bodies for objects, and people who walk side by
side for one. The network (:mod:`scalor_pyro.sizes`) has learned from made-up movers what belongs together.
"""

from functools import cache

import torch

from scalor_pyro.config import SizesRunConfig, config_from_dict
from scalor_pyro.runs.pretrained import SIZES
from scalor_pyro.runs.weights import put_weights, read_weights
from scalor_pyro.sizes.program import SEEN, UNIT, ObjectSizes, typical_side
from scalor_pyro.tracks.any_scene.looks import Look, size_of
from scalor_pyro.tracks.any_scene.shown import fullest_runs, shown_frames
from scalor_pyro.video import Survey

# px that the network looks at: the fullest runs of the survey's frames, at least one.
MOST_PIXELS = 2_000_000
# A place that belongs to an object with less than this probability counts for nothing.
LEAST_SURE = 0.3
# Objects are seen as if they were larger than is told, by this factor: a body that is too large for its box is held by
# several, which costs more than what is lost where boxes are too large. See docs/any_scene.md.
MARGIN = 1.15


@cache
def network() -> ObjectSizes:
    """The network in the package."""
    about, weights = read_weights(SIZES)
    program = ObjectSizes(config_from_dict(SizesRunConfig, about["config"]).model).float()
    put_weights(SIZES, weights, program)
    return program.eval()


@torch.no_grad()
def told_side(seen: Survey, how: Look) -> float | None:
    """The side of the square with the area of a typical object, by its box, as the network tells it.

    :param how: the video is seen: at a scale at which objects have roughly 10 px.
    :return: px of the file; None where the network sees no object.
    """
    size = size_of(how)
    fullest = fullest_runs(seen)[: max(1, MOST_PIXELS // (len(SEEN) * size[0] * size[1]))]
    sides, weights = [], []
    for run in fullest:
        frames = shown_frames(seen, [run[min(place, len(run) - 1)] for place in SEEN], how)
        said = network()(torch.from_numpy(frames).expand(-1, 3, -1, -1)[None])
        sure = said.logit.sigmoid()
        sides.append(said.log_side.flatten())
        weights.append(torch.where(sure < LEAST_SURE, 0, sure).flatten())
    weight = torch.cat(weights)
    if not weight.any():
        return None
    return typical_side(torch.cat(sides), weight) * UNIT * seen.size[0] / size[0]
