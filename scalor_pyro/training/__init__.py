"""Stochastic variational inference: the loop over steps, and what keeps it fast, watched and resumable."""
