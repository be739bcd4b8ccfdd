"""Folders of images: the order of their names, and their frames."""

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from math import gcd
from pathlib import Path

from scalor_pyro.video.pictures import PICTURE_SUFFIXES, channels_of, count_frames, read_picture
from scalor_pyro.video.source import (
    SPARSEST,
    FileInfo,
    Pixels,
    Shot,
    VideoError,
    gaps_in,
    missing_words,
    reading,
    warn_once,
)
from scalor_pyro.video.tiff import STACK_SUFFIXES, opened_tiff

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = PICTURE_SUFFIXES | STACK_SUFFIXES
DASHES = str.maketrans({dash: "-" for dash in "\u2010\u2011\u2012\u2212\ufe63\uff0d"} | {"\uff0b": "+", "\uff0e": "."})
# A number in a name: perhaps signed, perhaps grouped by commas, perhaps with an exponent as Python writes it.
WHOLE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
NUMBER = re.compile(rf"([+-]?)({WHOLE})")
DECIMAL = re.compile(rf"([+-]?)((?:(?<!\d\.)(?:{WHOLE})\.\d+(?!\.?\d)|{WHOLE})(?:e[+-]\d\d+(?!\d))?)")
FRACTION = re.compile(r"(?<![\d.])(?:\d+)\.(\d+)(?![.]?\d)")

Key = list[tuple[Decimal, str]]


def natural_order(names: Sequence[str]) -> list[str]:
    """File names in the order of the numbers in them: frame2, frame10; -2, -1, 0; t1, t1.5, t2.

    Some names can be read in two ways, which all names together decide: `1.10` is a decimal fraction, but two numbers
    if the digits after the dot are those of whole numbers (1.9, 1.10); `t-2` has a sign if there is a `t2` or `t+2`
    beside it.
    """
    stems = {name: _stem(name) for name in names}
    decimals = _has_decimals(list(stems.values()))
    signed = _signed_texts(list(stems.values()), decimals)
    return sorted(names, key=lambda name: (_key(stems[name], decimals, signed), name))


def _stem(name: str) -> str:
    """What is compared: without the suffix, in plain digits and small letters."""
    return unicodedata.normalize("NFC", Path(name).stem.casefold().translate(DASHES))


def _has_decimals(stems: list[str]) -> bool:
    """Whether digits after a dot are decimals: whole numbers of several widths end in 0 now and then, and begin with it
    never."""
    parts = [part for stem in stems for part in FRACTION.findall(stem)]
    widths = {len(part) for part in parts}
    whole = len(widths) > 1 and any(len(part) > 1 and part.endswith("0") for part in parts)
    return not whole or any(len(part) > 1 and part.startswith("0") for part in parts)


def _signed_texts(stems: list[str], decimals: bool) -> set[str]:
    """Beginnings of names, up to a number, after which a dash is a sign because other names have none there."""
    with_dash: set[str] = set()
    without: set[str] = set()
    for stem in stems:
        for match in (DECIMAL if decimals else NUMBER).finditer(stem):
            (with_dash if match[1] == "-" else without).add(_shape(stem[: match.start()]))
    return with_dash & without


def _shape(text: str) -> str:
    """A text with its numbers left out, so that those of different frames are alike."""
    return re.sub(r"\d+", "0", text).rstrip()


def _key(stem: str, decimals: bool, signed: set[str]) -> Key:
    """Texts and numbers in turn."""
    key: Key = []
    end = 0
    for match in (DECIMAL if decimals else NUMBER).finditer(stem):
        text, number = stem[end : match.start()], Decimal(_plain(match[2]))
        before = stem[match.start() - 1 : match.start()]
        if match[1] and _is_sign(before, _shape(stem[: match.start()]) in signed):
            number = -number if match[1] == "-" else number
        else:
            text += match[1]
        key += [(Decimal(-1), text.rstrip()), (number, "")]
        end = match.end()
    return [*key, (Decimal(-1), stem[end:])]


def _is_sign(before: str, signed: bool) -> bool:
    """Whether a dash or plus is a sign: after nothing or punctuation; after a letter only where others have none."""
    return not before.isdigit() and (signed or not before.isalnum())


def _plain(number: str) -> str:
    return number.replace(",", "")


def frame_numbers(names: Sequence[str]) -> tuple[list[int], int]:
    """Numbers of frames, from 0, as the names in order count them, and by how much they count.

    By position, and 0, if the names do not differ in one whole number only; by position, and -1, if far more numbers
    are missing than are there.
    """
    position = list(range(len(names)))
    signed = _signed_texts([_stem(name) for name in names], False)
    keys = [_key(_stem(name), False, signed) for name in names]
    differing = [place for place, values in enumerate(zip(*keys, strict=False)) if len(set(values)) > 1]
    if len({len(key) for key in keys}) > 1 or len(differing) != 1 or differing[0] % 2 == 0:
        return position, 0
    values = [int(key[differing[0]][0]) for key in keys]
    step = gcd(*(after - before for before, after in zip(values, values[1:], strict=False)))
    numbers = [(value - values[0]) // step for value in values] if step else position
    if not step or len(set(numbers)) < len(numbers):
        return position, 0
    if numbers[-1] >= SPARSEST * len(numbers):
        return position, -1
    return numbers, step


class FolderSource:
    """A folder whose images, in natural order of their names, are the frames.

    Frames are numbered as their names count, from 0 for the first: a missing image leaves a gap. If the first file
    holds several frames, the files are stacks, read one after the other.

    :raises VideoError: if there are none, or the first cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with reading(path, "a folder that can be read"):
            found = {each.name: each for each in path.iterdir() if _is_image(each)}
        if not found:
            raise VideoError(f"{path}: expected images, such as 0001.png, got a folder without any.")
        self.path, self.paths = path, [found[name] for name in natural_order(list(found))]
        self._lengths = [1] * len(self.paths)
        if _length(self.paths[0]) > 1:
            self._lengths = [_length(each) for each in self.paths]
        self._numbers = self._numbered()
        first = self._read(0, 0)
        kind = "folder of images" if max(self._lengths) == 1 else "folder of stacks"
        self.info = FileInfo(path, kind, first.shape[:2], channels_of(first), None, None)

    def count(self) -> int:
        """How many frames."""
        return sum(self._lengths)

    def shots(self) -> Iterator[Shot]:
        """The images; each is opened when its pixels are asked for."""
        number = 0
        for index, length in enumerate(self._lengths):
            for place in range(length):
                yield Shot(self._numbers[number], None, partial(self._read, index, place))
                number += 1

    def _numbered(self) -> list[int]:
        if max(self._lengths) > 1:
            return list(range(self.count()))
        numbers, step = frame_numbers([each.name for each in self.paths])
        if numbers[-1] >= len(numbers):
            missing = missing_words(gaps_in(numbers), numbers[-1] + 1 - len(numbers))
            text = f"has gaps in its names: {missing} missing, counted from the first; the others keep their numbers."
            warn_once(logger, self.path, text)
        elif step < 0:
            warn_once(logger, self.path, "has large gaps in the numbers of its names: frames are counted by position.")
        elif step > 1:
            warn_once(logger, self.path, f"has names that count by {step}: its frames are numbered 0, 1, 2, …")
        return numbers

    def _read(self, index: int, place: int) -> Pixels:
        path = self.paths[index]
        if path.suffix.lower() not in STACK_SUFFIXES:
            return read_picture(path)
        with opened_tiff(path, own_pages=True) as stack:
            if stack.count != self._lengths[index]:
                raise VideoError(f"{path}: expected one frame, as in the first file of the folder, got {stack.count}.")
            return stack.read(place)


def _length(path: Path) -> int:
    """How many frames a file holds."""
    if path.suffix.lower() not in STACK_SUFFIXES:
        return count_frames(path)
    with opened_tiff(path, own_pages=True) as stack:
        return stack.count


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
