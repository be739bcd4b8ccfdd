"""Frames larger than those of training: the same networks applied to the whole frame.

The model is convolutional, and its objects live in one list of slots for the whole image, so an object keeps its
identity wherever it goes; there are no tiles to join. Whatever depends on the size of the images trained on keeps that
size: group normalisation uses a window of it (:class:`~scalor_pyro.layers.networks.WindowNorm`), distances are measured
in it (:class:`~scalor_pyro.layers.boxes.Boxes`), and of its position an object knows its distance from a border
(:func:`~scalor_pyro.model.propagation.in_view`). Cells keep their size; there are more slots and longer shortlists. A
static background gets a new image; a moving one is drawn as in training, and enlarged.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.frame_encoder import cell_size
from scalor_pyro.model.background import OF_THE_VIEW
from scalor_pyro.model.scalor import Scalor


def nearest_size(config: ModelConfig, size: tuple[float, float]) -> tuple[int, int]:
    """The size nearest to `size` (H, W in px) that consists of whole cells."""
    height, width = (
        max(math.ceil(16 / cell), round(side / cell)) * cell for side, cell in zip(size, cell_size(config), strict=True)
    )
    return height, width


def viewing(config: ModelConfig, image_size: tuple[int, int], slots: int | None = None) -> ModelConfig:
    """The config of the same networks for images of another size.

    :param image_size: H, W in px, a multiple of the cells (:func:`nearest_size`).
    :param slots: K; default: in proportion to the area. Shortlists change in the same proportion.
    :raises ConfigError: for another size.
    """
    trained = config.view or config.image_size
    cells = [side // cell for side, cell in zip(image_size, cell_size(config), strict=True)]
    if slots is None:
        slots = math.ceil(config.slots * max(1.0, math.prod(image_size) / math.prod(config.image_size)))

    def grown(number: int) -> int:
        return min(math.prod(cells), math.ceil(number * slots / config.slots))

    return replace(
        config,
        image_size=image_size,
        view=None if image_size == trained else trained,
        cells=(cells[0], cells[1]),
        slots=slots,
        first_shortlist=grown(config.first_shortlist),
        shortlist=grown(config.shortlist),
    )


@torch.no_grad()
def with_view(
    scalor: Scalor,
    image_size: tuple[int, int],
    background_image: Tensor | None = None,
    slots: int | None = None,
    flicker: Tensor | None = None,
    config: ModelConfig | None = None,
) -> Scalor:
    """A trained model, for images of another size.

    :param image_size: H, W in px, a multiple of the cells (:func:`nearest_size`).
    :param background_image: (C, H, W) in [0, 1], for a static background; None for other ones.
    :param slots: K; default: in proportion to the area.
    :param flicker: (C, H, W) how much each pixel of the background varies by itself; None: nowhere.
    :param config: the model's, with other bounds of boxes; None: as in training.
    :raises ValueError: for another size, a background image of another size, none for a static background or one for
        another background, and for priors that were given to the model as modules.
    """
    if background_image is None and scalor.background_image is not None:
        raise ValueError("The model's background is 'static': expected a background image for the new size, got none.")
    larger = scalor.rebuilt(viewing(config or scalor.config, image_size, slots)).to(next(scalor.parameters()).device)
    if background_image is not None:
        larger.set_background_image(background_image[None], flicker)
    own = {name: value for name, value in larger.state_dict().items() if name in OF_THE_VIEW}
    larger.load_state_dict({**scalor.state_dict(), **own})
    return larger
