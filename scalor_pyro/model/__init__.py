"""SCALOR as a Pyro program: the generative model and its guide, each prior next to its posterior."""
