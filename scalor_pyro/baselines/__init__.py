"""What the paper compares SCALOR with, as Pyro programs that are trained, scored and sampled as SCALOR is.

:class:`VRNN` and :class:`SequentialVAE` describe whole frames by one latent; :class:`SQAIR` knows objects, as SCALOR
does, but infers them one after the other. How well they do is in docs/baselines.md.
"""

from scalor_pyro.baselines.sequential_vae import SequentialVAE
from scalor_pyro.baselines.sqair import SQAIR
from scalor_pyro.baselines.vrnn import VRNN
from scalor_pyro.config.baselines import SequentialVAEConfig, SQAIRConfig, VRNNConfig

__all__ = ["SQAIR", "VRNN", "SQAIRConfig", "SequentialVAE", "SequentialVAEConfig", "VRNNConfig"]
