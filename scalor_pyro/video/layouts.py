"""Layouts: how a data set of the paper is cut into clips."""

from typing import Literal

from scalor_pyro.config import ConfigError, Crop, ReadOptions

# Grand Central Station: every 8th frame, the last tenth of the frames to test on.
GRAND_CENTRAL_STRIDE, GRAND_CENTRAL_TEST = 8, 10
# Its 8 crops are squares of half the frame's height; left and top borders, in such halves: two at the top, three across
# the middle, three at the bottom. Three squares side by side are as wide as the frame of 720 × 480 px.
GRAND_CENTRAL_PLACES = ((0.5, 0), (1.5, 0), (0, 0.5), (1, 0.5), (2, 0.5), (0, 1), (1, 1), (2, 1))


def grand_central(
    frames: int, split: Literal["train", "test"] = "train", side: int = 128
) -> tuple[ReadOptions, tuple[Crop, ...]]:
    """Grand Central Station as in the paper (§5.2, App. D): 8 crops of a folder of numbered frames of 720 × 480 px.

    The frames are read once and resized as a whole, and the crops are windows of them::

        options, windows = grand_central(len(list(folder.iterdir())))
        clips = Clips([Video(folder, options)], frames=10, windows=windows)

    Differs: clips begin at every 8th frame, not at every frame, so that an eighth of the frames is kept in memory.

    :param frames: in the folder.
    :param split: the first nine tenths of the frames, or the last.
    :param side: of a crop, in px, after the resize; even.
    :raises ConfigError: for a split or side that is none, or too few frames.
    """
    if split not in ("train", "test"):
        raise ConfigError(f"split is {split!r}, but 'train' or 'test' was expected.")
    if side < 2 or side % 2:
        raise ConfigError(f"side is {side!r}, but an even number of px was expected.")
    if frames < GRAND_CENTRAL_TEST:
        raise ConfigError(f"frames is {frames!r}, but at least {GRAND_CENTRAL_TEST} was expected.")
    border = frames - frames // GRAND_CENTRAL_TEST
    start, stop = (0, border) if split == "train" else (border, frames)
    options = ReadOptions(start=start, stop=stop, stride=GRAND_CENTRAL_STRIDE, size=(2 * side, 3 * side))
    windows = tuple(Crop(int(x * side), int(y * side), side, side) for x, y in GRAND_CENTRAL_PLACES)
    return options, windows
