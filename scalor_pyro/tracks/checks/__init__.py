"""What tracking and training notice by themselves, a sentence each.

Slots that are full, tracks that break, boxes that do not fit their objects, a scene that has changed, a camera that
moves, files of another depth: :mod:`sentences` has the checks, :mod:`watch` applies them to a video as it is tracked.
"""
