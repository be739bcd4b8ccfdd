"""What objects look like, for linking in scenes that nobody trained on: embeddings of glimpses.

z_what of a model for any scene tells how to draw an object, and hardly which one it is. The network
(:mod:`scalor_pyro.embedding`) has learned from made-up movers what stays the same of an object.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalor_pyro.config import EmbeddingRunConfig, config_from_dict
from scalor_pyro.embedding.glimpses import glimpses_of, layers
from scalor_pyro.embedding.program import GlimpseEmbedding
from scalor_pyro.runs.pretrained import EMBEDDING
from scalor_pyro.runs.weights import put_weights, read_weights
from scalor_pyro.tracks.any_scene.looks import Differences
from scalor_pyro.tracks.table import Tracks

# Variance of the embeddings of one object, along any axis, see :func:`scalor_pyro.tracks.linking.link`. Chosen on 35
# made-up videos; with twice as much, IDF1 changes by -0.010 on these, and by +0.010 on 20 others (exploratory).
WITHIN = 0.03
# Objects are looked at in every fourth frame; in between, they look as they did.
EVERY = 4
# Glimpses that are embedded at a time.
AT_A_TIME = 128


@cache
def network() -> GlimpseEmbedding:
    """The network in the package."""
    about, weights = read_weights(EMBEDDING)
    program = GlimpseEmbedding(config_from_dict(EmbeddingRunConfig, about["config"]).model).float()
    put_weights(EMBEDDING, weights, program)
    return program.eval()


class Embedder:
    """Embeds the objects of a video, chunk after chunk.

    Online: what it says of a frame depends on no later one. An object is looked at when it is found, and then in every
    fourth frame.

    :param differences: what the model sees of the frames.
    """

    def __init__(self, differences: Differences) -> None:
        self.network, self.differences = network(), differences
        self._frames = 0  # seen so far
        self._last: dict[int, NDArray[np.float32]] = {}  # of the objects in the last one, by identity

    def advance(self, frames: Tensor, owner: Tensor, rows: Tracks) -> NDArray[np.float32]:
        """Embeddings of the objects in the next n frames. (R, D)

        :param frames: (n, C, H, W) in [0, 1], as they were read.
        :param owner: (n, H, W) identity of the object that owns each pixel, below 0 where none does.
        :param rows: R objects, in px of these frames, of which the first is frame 0; boxes are those of masks.
        """
        order = np.lexsort((rows.frame, rows.identity))
        frame, name = rows.frame[order], rows.identity[order]
        first = np.diff(name, prepend=-1) != 0  # row of an object in this chunk
        there_before = (frame == 0) & np.isin(name, list(self._last))
        goes_on = np.where(first, there_before, np.diff(frame, prepend=-1) == 1)
        looked = ~goes_on | ((self._frames + frame) % EVERY == 0)
        kept = first & ~looked
        numbers = self.network.config.features
        found = np.zeros((len(rows), numbers), np.float32)
        found[looked] = self._embedded(frames, owner, rows.rows(order[looked]))
        found[kept] = np.reshape([self._last[each] for each in name[kept].tolist()], (-1, numbers))
        found = found[np.maximum.accumulate(np.where(looked | kept, np.arange(len(rows)), 0))]
        at_end = frame == len(frames) - 1
        self._last = dict(zip(name[at_end].tolist(), found[at_end], strict=True))
        self._frames += len(frames)
        embeddings = np.empty_like(found)
        embeddings[order] = found
        return embeddings

    def _embedded(self, frames: Tensor, owner: Tensor, rows: Tracks) -> NDArray[np.float32]:
        """Of each row. (n, D)"""
        network, device = self.network.to(frames.device), frames.device
        embedded = np.zeros((len(rows), network.config.features), np.float32)
        if not len(rows):
            return embedded
        scene = self.differences.scene.to(device).float()
        glimpses, places = [], []
        for t in np.unique(rows.frame).tolist():
            here = np.nonzero(rows.frame == t)[0]
            (seen,) = layers(frames[t : t + 1].float(), scene, self.differences.gain)
            identity, box = (torch.from_numpy(part[here]).to(device) for part in (rows.identity, rows.box))
            glimpses.append(glimpses_of(seen, owner[t], identity, box.float()))
            places.append(here)
        # In this format, convolutions take two thirds of the time on a CPU.
        some = torch.cat(glimpses).to(memory_format=torch.channels_last).split(AT_A_TIME)
        embedded[np.concatenate(places)] = torch.cat([network(each) for each in some]).cpu().numpy()
        return embedded
