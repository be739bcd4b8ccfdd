"""How a model for any scene sees a video that it was not trained on.

:mod:`looks` brings it to the scale of its objects, which :mod:`sizes` tells, as differences from the scene;
:mod:`trials` shows some of it to the model, whose masks correct the scale; :mod:`alike` keeps boxes to one size where
all objects have it.
"""
