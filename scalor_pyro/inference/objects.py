"""The objects of an inference as a table, one row for each reported object in each frame, in pixels and frames.

x to the right, y down; the left and top borders of the image are 0, and pixel i spans [i, i + 1]. Videos, frames,
identities and slots count from 0.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.inference.posterior import Inference, SlotHistory

# An object is reported where its presence is above this: more likely there than not.
REPORTED_PRESENCE = 0.5


def object_table(
    inference: Inference, image_size: tuple[int, int] | None = None, embeddings: bool = True
) -> pd.DataFrame:
    """A table of the reported objects of a batch of videos, in the order of videos, frames and slots.

    ================================  =======  ================================================================
    column                            dtype    meaning
    ================================  =======  ================================================================
    ``video``, ``frame``              int64    which one, from 0
    ``identity``                      int64    the same object has the same one in all frames of a video
    ``slot``                          int64    which of the K slots holds the object
    ``x``, ``y``                      float64  px, centre of the box
    ``width``, ``height``             float64  px, of the box
    ``presence``                      float64  z_pres in [0, 1]
    ``depth``                         float64  z_depth; the smaller is in front
    ``new``                           bool     discovered in this frame
    ``mask_area``                     float64  px², of the pixels that the object owns (``Inference.segments``)
    ``what_0`` … ``what_{D-1}``       float32  z_what, the embedding of the appearance
    ================================  =======  ================================================================

    :param inference: of B videos.
    :param image_size: H, W in px of the images that positions and areas are to be in, for instance of the video before
        it was scaled for the model; default: of the frames that the model saw.
    :param embeddings: with the columns of z_what.
    :return: the rows that :func:`~scalor_pyro.tracks.table.tracks_of` gives, with more columns.
    :raises ValueError: for an image size that is not above 0.
    """
    seen = inference.segments.shape[2], inference.segments.shape[3]
    size = seen if image_size is None else image_size
    if not (len(size) == 2 and min(size) > 0):
        raise ValueError(f"image_size: expected a height and a width above 0 px, got {size!r}.")
    kept = reported(inference)
    video, frame, slot = (index.numpy() for index in kept.nonzero(as_tuple=True))
    x, y, width, height = boxes(inference.where[kept], size).T
    scale = size[0] * size[1] / (seen[0] * seen[1])
    table = pd.DataFrame(
        {
            "video": video,
            "frame": frame,
            "identity": inference.identity[kept].numpy(),
            "slot": slot,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "presence": inference.presence[kept].double().numpy(),
            "depth": inference.depth[kept].double().numpy(),
            "new": inference.new[kept].numpy(),
            "mask_area": scale * _pixels_owned(inference)[kept].double().numpy(),
        }
    )
    if not embeddings:
        return table
    names = [f"what_{feature}" for feature in range(inference.what.shape[-1])]
    return pd.concat([table, pd.DataFrame(inference.what[kept].numpy(), columns=names)], axis=1)


def _pixels_owned(inference: Inference) -> Tensor:
    """How many pixels each slot's object owns. (B, T, K) long"""
    # Frame by frame, rather than from hard masks, which are K times as large as the video.
    segments, identity = inference.segments.flatten(0, 1), inference.identity.flatten(0, 1)
    owned = torch.zeros_like(identity)
    for pixels, of_slots, count in zip(segments, identity, owned, strict=True):
        here = of_slots >= 0
        owners = pixels[pixels >= 0].bincount(minlength=int(identity.max()) + 1)
        count[here] = owners[of_slots[here]]
    return owned.view_as(inference.identity)


def reported(inference: Inference | SlotHistory) -> Tensor:
    """Which slots hold an object that is reported: present, and with its centre inside the view.

    An object whose centre has left is still carried by the model, but nobody could check it.

    :return: (B, T, K) bool.
    """
    centre_inside = (inference.where[..., 2:].abs() <= 1).all(-1)  # (B, T, K)
    return (inference.presence > REPORTED_PRESENCE) & centre_inside


def boxes(where: Tensor, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes in pixels from z_where.

    :param where: (…, 4): (s_x, s_y, t_x, t_y) in image coordinates.
    :param image_size: H, W in px.
    :return: (…, 4): centre x, centre y, width, height in px.
    """
    height, width = image_size
    scale_x, scale_y, shift_x, shift_y = where.detach().cpu().double().unbind(-1)
    x, y = (shift_x + 1) / 2 * width, (shift_y + 1) / 2 * height
    return np.stack([x.numpy(), y.numpy(), (scale_x * width).numpy(), (scale_y * height).numpy()], axis=-1)
