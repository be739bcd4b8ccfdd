"""Frames larger than those of training: the same networks, over the whole of them.

The model is convolutional, and its objects live in one list of slots for the whole image, so an object keeps its
identity wherever it goes: there are no tiles to be joined. What belongs to the size of the images trained on is kept:
group normalisation looks at a window of that size (:class:`~scalor_pyro.layers.networks.WindowNorm`), distances are
measured in it (:class:`~scalor_pyro.layers.boxes.Boxes`), and of its place an object knows the distance to a border
(:func:`~scalor_pyro.model.propagation.in_view`). Cells are as large as before; there are more slots, and longer
shortlists. A static background is given anew; a moving one is drawn as in training, and enlarged.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.layers.frame_encoder import cell_size
from scalor_pyro.model.scalor import Scalor

# What is known of a scene place by place, and not the same elsewhere.
OF_THE_PLACE = ("background_decoder.scene", "background_decoder.sigma")


def nearest_size(config: ModelConfig, size: tuple[float, float]) -> tuple[int, int]:
    """The size nearest to `size` (H, W in px) that whole cells make up."""
    height, width = (
        max(math.ceil(16 / cell), round(side / cell)) * cell for side, cell in zip(size, cell_size(config), strict=True)
    )
    return height, width


def viewing(config: ModelConfig, image_size: tuple[int, int], slots: int | None = None) -> ModelConfig:
    """The config of the same networks for images of another size.

    :param image_size: H, W in px, made up of whole cells (:func:`nearest_size`).
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
) -> Scalor:
    """A trained model, for images of another size.

    :param image_size: H, W in px, made up of whole cells (:func:`nearest_size`).
    :param background_image: (C, H, W) in [0, 1], without objects, where the background is static; None for another one.
    :param slots: K; default: in proportion to the area.
    :param flicker: (C, H, W) how much each place of the scene varies by itself; None: nowhere.
    :raises ValueError: for another size, another scene, no scene, or one where none is expected.
    """
    if background_image is None and scalor.config.background == "static":
        raise ValueError("No scene was given, but one was expected, because the model's background is 'static'.")
    larger = Scalor(viewing(scalor.config, image_size, slots)).to(next(scalor.parameters()).device)
    if background_image is not None:
        larger.set_background_image(background_image[None], flicker)
    own = {name: value for name, value in larger.state_dict().items() if name in OF_THE_PLACE}
    larger.load_state_dict({**scalor.state_dict(), **own})
    return larger
