"""What a still camera sees without objects, found by classical means; nothing is learned.

:mod:`median` has the median of frames, and :mod:`resting` takes objects out of it that hardly left their place;
:mod:`image` takes the frames from videos, and :mod:`files` keeps what is found in the run folder.
"""
