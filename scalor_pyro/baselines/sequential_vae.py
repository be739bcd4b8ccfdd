"""Sequential VAE: each frame has its own latent, and an RNN predicts the next latent."""

from torch import Tensor, nn

from scalor_pyro.baselines.frame_program import (
    POSTERIOR_SCALE,
    PRIOR_SCALE,
    FrameProgram,
    distribution_of_z,
    draw_z,
    posterior_head,
)
from scalor_pyro.baselines.networks import ImageDecoder, ImageEncoder
from scalor_pyro.config.baselines import SequentialVAEConfig
from scalor_pyro.layers.networks import mlp
from scalor_pyro.model.program import GuideMessenger


class SequentialVAE(FrameProgram):
    r"""Variational autoencoder with a sequential prior: the simplest of the models that the paper compares with.

    An autoencoder of single frames (Kingma and Welling, 2014, arXiv 1312.6114); only the prior depends on time.

    For B sequences of T frames:

    ================================  ===========  =======  ==============================================
    site                              batch shape  event    meaning
    ================================  ===========  =======  ==============================================
    ``z_t``                           (B, 1)       (D)      everything in the frame
    ``x_t``                           (B, 1)       (C,H,W)  the frame
    ``y_t`` (deterministic, model)    (B, 1)       (C,H,W)  the frame without noise
    ================================  ===========  =======  ==============================================

    .. math::

        p(x, z) &= \prod_t p(x_t | z_t)\, p(z_t | z_{<t}) \\
        q(z | x) &= \prod_t q(z_t | x_t)

    All distributions are Normals whose parameters come from networks; the prior's is an LSTM over z. The posterior is
    linear in the output of the convolutions: see :class:`~scalor_pyro.baselines.networks.ImageEncoder`.

    :param SequentialVAEConfig config: sizes.
    """

    config: SequentialVAEConfig

    def __init__(self, config: SequentialVAEConfig) -> None:
        super().__init__(config)
        memory = config.memory_dim
        self.encoder = ImageEncoder(config)
        self.posterior = posterior_head(self.encoder.features, config.latent_dim)
        self.decoder = ImageDecoder(config, config.latent_dim)
        self.rnn = nn.LSTMCell(config.latent_dim, memory)
        self.prior = mlp(memory, memory, 2 * config.latent_dim)

    def model(self, x: Tensor | None = None, frames: int | None = None, sequences: int = 1) -> list[Tensor]:
        """p(x, z): observes the frames it is given and imagines the rest.

        :param x: (B, T, C, H, W) in [0, 1], or None to observe nothing.
        :param frames: the number of frames in total; default T.
        :param sequences: B, if nothing is observed.
        :return: y_t (B, C, H, W) of each frame.
        :raises ValueError: if x is not a batch of videos of the config's size.
        """
        _, frames, plate = self._begin(x, frames, sequences)
        memory, shown = self._empty(plate.size), list[Tensor]()
        with plate:
            for t in range(frames):
                hidden, _ = memory
                z = draw_z(self, t, distribution_of_z(self.prior(hidden), PRIOR_SCALE))
                y = self.decoder(z)
                self._show(t, y, x)
                memory = self.rnn(z, memory)
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
        seen = self.encoder.of_videos(x)
        with plate, GuideMessenger():
            return [
                draw_z(self, t, distribution_of_z(self.posterior(seen[t]), POSTERIOR_SCALE))
                for t in range(min(observed, frames))
            ]
