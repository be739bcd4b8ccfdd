"""Videos of public benchmarks, made anew from their descriptions, with boxes, identities, masks and visibility.

- ``sprites-mot`` and ``mnist-mot``: He et al., Tracking by Animation, CVPR 2019 (:mod:`mot`). Sprites-MOT is also part
  of the benchmark of Weis et al., JMLR 22:183, 2021.
- ``multi-dsprites``: sprites of unequal size over a plain colour (:mod:`dsprites`), after Video Multi-dSprites of Weis
  et al.
- ``balls``: balls that bounce off each other in two layers (:mod:`balls`), after Lin et al., G-SWM, ICML 2020.

The first two follow the published procedure number by number, with other random numbers. The other two are settings of
this project in the spirit of the published ones: figures on them are not comparable with published figures.
"""

from scalor_pyro.data.public.layers import BoxTruth
from scalor_pyro.data.public.videos import PublicBatch, PublicVideos

__all__ = ["BoxTruth", "PublicBatch", "PublicVideos"]
