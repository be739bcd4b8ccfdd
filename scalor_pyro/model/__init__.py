"""The Pyro program: the generative model and its guide, part by part, each prior beside its posterior."""
