"""Tensors in, tensors out: networks, boxes, objects and the renderer. It has no Pyro sites."""
