"""Runs on made-up movers: the weights that track scenes that nobody trained on, and the network beside them.

:mod:`any_scene` trains the model, :mod:`averaging` takes the mean of several trainings, and :mod:`sizes` trains the
network that brings videos to the model's scale.
"""
