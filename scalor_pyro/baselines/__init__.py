"""Models that the paper compares SCALOR with, as Pyro programs trained, scored and sampled in the same way.

:class:`VRNN` and :class:`SequentialVAE` describe a whole frame by one latent; :class:`SQAIR` has objects, as SCALOR
does, but infers them one after the other. docs/baselines.md has their results.
"""

from scalor_pyro.baselines.sequential_vae import SequentialVAE
from scalor_pyro.baselines.sqair import SQAIR
from scalor_pyro.baselines.vrnn import VRNN
from scalor_pyro.config.baselines import SequentialVAEConfig, SQAIRConfig, VRNNConfig

__all__ = ["SQAIR", "VRNN", "SQAIRConfig", "SequentialVAE", "SequentialVAEConfig", "VRNNConfig"]
