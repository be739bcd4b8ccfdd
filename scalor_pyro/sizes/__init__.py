"""How large are the objects of a video? A network that tells it at every place, learned from made-up movers.

Not part of the paper: it brings videos to the scale of a model for any scene. :mod:`program` is a Pyro program without
latents round the :mod:`network`; :mod:`videos` makes what it learns from.
"""
