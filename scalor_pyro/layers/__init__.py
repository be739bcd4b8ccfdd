"""Tensors in, tensors out: networks, boxes, objects and the renderer. No Pyro site is in here."""
