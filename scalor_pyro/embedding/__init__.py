"""Which glimpses are of one object? A network that embeds them, so that those of one object lie near each other.

Not part of the paper: it gives linking an appearance that tells objects apart in videos that nobody trained on, where
z_what hardly does. :mod:`glimpses` cuts objects out of frames, in training and in tracking alike; :mod:`program` is a
Pyro program without latents round the :mod:`network`. What it learns from are the tracks of made-up movers
(:mod:`scalor_pyro.experiments.made_up.glimpses`).
"""
