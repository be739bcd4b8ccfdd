"""Runs on made-up movers: the weights that track scenes that nobody trained on, and the networks beside them.

:mod:`any_scene` trains the model, :mod:`averaging` takes the mean of several trainings, :mod:`sizes` trains the network
that brings videos to the model's scale, and :mod:`embedding` the one that tells objects apart, by :mod:`glimpses` of
tracked movers.
"""
