"""VRNN: a variational autoencoder at each step of an RNN (Chung et al., 2015)."""

import torch
from torch import Tensor, nn

from scalor_pyro.baselines.frame_program import (
    POSTERIOR_SCALE,
    PRIOR_SCALE,
    FrameProgram,
    Memory,
    distribution_of_z,
    draw_z,
    posterior_head,
)
from scalor_pyro.baselines.networks import ImageDecoder, ImageEncoder
from scalor_pyro.config.baselines import VRNNConfig
from scalor_pyro.layers.networks import mlp
from scalor_pyro.model.program import GuideMessenger
from scalor_pyro.model.shared import begin_guide, begin_model, once


class VRNN(FrameProgram):
    r"""Variational recurrent neural network (Chung et al., NeurIPS 2015, arXiv 1506.02216), over whole frames.

    For B sequences of T frames:

    ================================  ===========  =======  ==============================================
    site                              batch shape  event    meaning
    ================================  ===========  =======  ==============================================
    ``z_t``                           (B, 1)       (D)      everything new in the frame
    ``x_t``                           (B, 1)       (C,H,W)  the frame
    ``y_t`` (deterministic, model)    (B, 1)       (C,H,W)  the frame without noise
    ================================  ===========  =======  ==============================================

    .. math::

        p(x, z) &= \prod_t p(x_t | z_t, h_{t-1})\, p(z_t | h_{t-1}) \\
        q(z | x) &= \prod_t q(z_t | x_t, h_{t-1}) \\
        h_t &= \mathrm{LSTM}(x_t, z_t, h_{t-1})

    All distributions are Normals whose parameters come from networks (eq. 5 to 9); the standard deviation of x_t is
    fixed.

    Differs: the posterior is linear in the output of the convolutions and in h, and no network stands between z and the
    decoder or the LSTM: see :class:`~scalor_pyro.baselines.networks.ImageEncoder`.

    Differs: for an imagined frame, the LSTM reads y_t instead of x_t: the noise of x_t is the tolerance of the
    likelihood, and no frame of the training data has it.

    :param VRNNConfig config: sizes.
    """

    config: VRNNConfig

    def __init__(self, config: VRNNConfig) -> None:
        super().__init__(config)
        memory, latent = config.memory_dim, config.latent_dim
        self.encoder = ImageEncoder(config)
        self.decoder = ImageDecoder(config, latent + memory)
        self.prior = mlp(memory, memory, 2 * latent)
        self.posterior = posterior_head(self.encoder.features + memory, latent)
        self.summary = nn.Sequential(nn.Linear(self.encoder.features, memory), nn.CELU(inplace=True))
        self.rnn = nn.LSTMCell(memory + latent, memory)

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[Tensor]:
        """p(x, z): observes the frames it is given and imagines the rest.

        :param x: (B, T, C, H, W) in [0, 1], or None to observe nothing.
        :param frames: the number of frames in total; default T.
        :param sequences: B, if nothing is observed.
        :return: y_t (B, C, H, W) of each frame.
        :raises ValueError: if x is not a batch of videos of the config's size.
        """
        observed, frames, plate = self._begin(x, frames, sequences)
        begin_model(self)
        seen = () if x is None else once(self.encoder.of_videos, x)
        memory, shown = self._empty(plate.size), list[Tensor]()
        with plate:
            for t in range(frames):
                hidden, _ = memory
                z = draw_z(self, t, distribution_of_z(self.prior(hidden), PRIOR_SCALE))
                y = self.decoder(torch.cat((z, hidden), -1))
                self._show(t, y, x)
                memory = self._remember(seen[t] if t < observed else self.encoder(y), z, memory)
                shown.append(y)
        return shown

    def guide(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[Tensor]:
        """q(z | x), for the observed frames; the model imagines the others.

        Takes the arguments of :meth:`model`.

        :return: z_t (B, D) of each observed frame.
        """
        observed, frames, plate = self._begin(x, frames, sequences)
        if x is None:
            return []
        begin_guide(self)
        memory, drawn = self._empty(plate.size), list[Tensor]()
        seen = once(self.encoder.of_videos, x)
        with plate, GuideMessenger():
            for t in range(min(observed, frames)):
                hidden, _ = memory
                z = draw_z(
                    self, t, distribution_of_z(self.posterior(torch.cat((seen[t], hidden), -1)), POSTERIOR_SCALE)
                )
                memory = self._remember(seen[t], z, memory)
                drawn.append(z)
        return drawn

    def _remember(self, features: Tensor, z: Tensor, memory: Memory) -> Memory:
        """h_t, from the features (B, F) and the latent (B, D) of a frame."""
        after: Memory = self.rnn(torch.cat((self.summary(features), z), -1), memory)
        return after
