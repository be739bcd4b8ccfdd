"""Parts of a long video side by side, each tracked by a process of its own.

A part begins two chunks of frames before its turn. In these frames, which the part before has tracked, too, its objects
are found, and recognised as those of the part before, whose identities they take. A frame still knows of no later one.
"""

import gc
import logging
import pickle
import signal
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from scalor_pyro.config import ReadOptions
from scalor_pyro.tracks.checks.watch import TrackWatch
from scalor_pyro.tracks.linking.assignment import assigned
from scalor_pyro.tracks.opening import VideoLike
from scalor_pyro.tracks.table import Tracks, concatenate
from scalor_pyro.tracks.tracker import Pictured, Tracked, Tracker, chunk_of
from scalor_pyro.training.allocator import keep_freed_memory
from scalor_pyro.video import Chunk, Video
from scalor_pyro.video.reading import NoFrames
from scalor_pyro.video.source import collected

logger = logging.getLogger(__name__)

# All loggers of this package are below this one.
LOGGER = "scalor_pyro"
# Chunks that a part shares with the one before. Of 172 objects that one process followed from frame to frame, on five
# made-up videos, 91 % kept their identity from part to part after one chunk, and 95 % after two.
SHARED = 2
# Frames of the shortest part: a process takes some seconds to start.
LEAST_FRAMES = 100
# Two tracks are of one object if their centres are within this part of its size (the square root of its box's area) …
REACH = 0.5
# … in at least this part of the shared frames in which the later track is there.
TOGETHER = 0.5


class Part(NamedTuple):
    """Frames of the file that one process tracks."""

    begin: int
    turn: int  # from this frame on, its tracks count
    stop: int | None  # the frame before which it ends; None: the end of the file


class Arrived(NamedTuple):
    """What another process has found in a chunk, see :class:`~scalor_pyro.tracks.tracker.Tracked`."""

    numbers: NDArray[np.int64]
    tracks: Tracks
    propagated: int
    discovered: int
    foreground: float
    appearance: NDArray[np.float32]
    packed: bytes  # segments(), if they were asked for
    size: tuple[int, int]  # (H, W) of the frames as they were read

    def segments(self) -> NDArray[np.int64]:
        """(n, H, W) identity of the object that owns a pixel of the frames as they were read; -2: none."""
        return np.frombuffer(zlib.decompress(self.packed), np.int64).reshape(len(self.numbers), *self.size)

    def from_frame(self, turn: int) -> "Arrived":
        """What belongs to the frames from one on; the counts are those of the chunk."""
        now, rows = self.numbers >= turn, self.tracks.frame >= turn
        if now.all():
            return self
        packed = _packed(self.segments()[now]) if self.packed else b""
        kept = self._replace(numbers=self.numbers[now], tracks=self.tracks.rows(rows), packed=packed)
        return kept._replace(appearance=self.appearance[rows])

    def called(self, names: "Names") -> "Arrived":
        """With the identities of the whole video."""
        tracks = replace(self.tracks, identity=names.of(self.tracks.identity))
        if not self.packed:
            return self._replace(tracks=tracks)
        segments = self.segments().copy()
        segments[segments >= 0] = names.of(segments[segments >= 0])  # below 0, there is no object
        return self._replace(tracks=tracks, packed=_packed(segments))


def _packed(segments: NDArray[np.int64]) -> bytes:
    return zlib.compress(segments.tobytes(), 1)


class _Found(NamedTuple):
    """A chunk, and what has to be said of it."""

    arrived: Arrived
    said: dict[str, str]  # what is wrong so far, in sentences, by what they are about


class _End(NamedTuple):
    """A part is tracked to its end."""

    pictured: Pictured | None


class Failed(OSError):
    """A process that tracked a part has ended before it was done."""


def parts_of(tracker: Tracker, video: Video, processes: int) -> list[Part]:
    """About equal parts of a video, at most as many as processes, and none of them too short to be worth it.

    Each begins two chunks before its turn.

    :param tracker: that will track it.
    :param video: as it is to be read.
    """
    options, frames, shared = video.options, video.expected_frames, SHARED * chunk_of(tracker)
    count = max(1, min(processes, frames // max(LEAST_FRAMES, shared, tracker.to_picture)))
    if options.rate is not None:  # which frames are read depends on the first one
        count = 1
    turns = [options.start + options.stride * round(frames * place / count) for place in range(count)]
    begins = [max(options.start, turn - options.stride * shared) for turn in turns]
    return [Part(*each) for each in zip(begins, turns, [*turns[1:], options.stop], strict=True)]


# ------------------------------------------------------------------ identities


def same_objects(earlier: Tracks, later: Tracks) -> dict[int, int]:
    """Which identities of later tracks are which of earlier ones, from frames that both have.

    :return: by later identity.
    """
    together: dict[tuple[int, int], float] = {}
    frames: dict[tuple[int, int], int] = {}
    for frame in np.intersect1d(earlier.frame, later.frame).tolist():
        one, other = earlier.rows(earlier.frame == frame), later.rows(later.frame == frame)
        side = np.sqrt(one.width * one.height)
        centres, near = np.stack([other.x, other.y], 1), KDTree(np.stack([one.x, one.y], 1))
        apart = KDTree(centres).sparse_distance_matrix(near, REACH * float(side.max()), output_type="coo_matrix")
        for new, old, distance in zip(apart.row.tolist(), apart.col.tolist(), apart.data.tolist(), strict=True):
            if distance <= REACH * side[old]:
                pair = int(one.identity[old]), int(other.identity[new])
                together[pair] = together.get(pair, 0.0) + 1 - distance / (2 * REACH * side[old])
                frames[pair] = frames.get(pair, 0) + 1
    names, there = np.unique(later.identity, return_counts=True)
    present = dict(zip(names.tolist(), there.tolist(), strict=True))
    pairs = [pair for pair in together if frames[pair] >= TOGETHER * present[pair[1]]]
    if not pairs:
        return {}
    old, new = np.array(pairs, np.int64).T
    gain = np.array([together[pair] for pair in pairs])
    return {after: before for before, after in assigned(old, new, gain, int(new.max()) + 1).after.items()}


class Names:
    """Identities of a whole video for the tracks of one part after the other; those of the first part stay."""

    def __init__(self) -> None:
        self._of: dict[int, int] | None = None  # those of the part, by what they are called in the video
        self._next = 0

    def begin(self, before: Tracks, overlap: Tracks) -> None:
        """Another part begins.

        :param before: the end of the part before, with the identities of the video.
        :param overlap: what the new part has found in these frames.
        """
        self._of = same_objects(before, overlap)

    def of(self, identity: NDArray[np.int64]) -> NDArray[np.int64]:
        """What identities of the part are called in the video, any shape; those that are new get new names."""
        known, place = np.unique(identity, return_inverse=True)
        names = known
        if (of := self._of) is not None:
            names = np.array([self._name(of, each) for each in known.tolist()], np.int64)
        self._next = max(self._next, int(names.max(initial=-1)) + 1)
        return names[place.reshape(identity.shape)]

    def _name(self, of: dict[int, int], identity: int) -> int:
        if identity not in of:
            of[identity], self._next = self._next, self._next + 1
        return of[identity]


# ------------------------------------------------------------------ processes


def tracked(
    tracker: Tracker,
    video: Video,
    file: VideoLike,
    parts: Sequence[Part],
    *,
    masks: bool = False,
    whole: bool = False,
    progress: Callable[[int], None] = lambda frames: None,
) -> Iterator[tuple[Chunk | None, Tracked | Arrived]]:
    """Track a video in order of its frames: in one part by this process, or in several :func:`side_by_side`.

    :param whole: also read the frames uncropped, see :meth:`~scalor_pyro.video.Video.chunks`.
    :return: what is found in each chunk, and the chunk, if this process has read it. Other parameters, and what is
        raised: see :func:`side_by_side`.
    """
    if len(parts) > 1:
        for found in side_by_side(tracker, video, file, parts, masks, progress):
            yield None, found
        return
    for chunk in video.chunks(chunk_of(tracker), whole):
        yield chunk, tracker.advance(chunk)
        progress(len(chunk.numbers))


def side_by_side(
    tracker: Tracker,
    video: Video,
    file: VideoLike,
    parts: Sequence[Part],
    masks: bool = False,
    progress: Callable[[int], None] = lambda frames: None,
) -> Iterator[Arrived]:
    """Track the parts of a video at the same time; what is found comes in order of frames.

    What a part has found before its turn comes is kept in memory.

    :param tracker: that has tracked nothing yet; afterwards, it has what was pictured.
    :param video: as it is to be read.
    :param file: that it was opened from.
    :param parts: see :func:`parts_of`.
    :param masks: whether :meth:`Arrived.segments` will be asked for.
    :param progress: told how many more frames were tracked, of any part.
    :raises ValueError: if a part cannot be read.
    :raises Failed: if a process ends before it is done.
    """
    names, said, end = Names(), set[str](), list[Tracks]()
    with _started(tracker, video, file, parts, masks) as running:
        inbox = _Inbox(running, progress)
        for place, part in enumerate(parts):
            shared = parts[place + 1].begin if place + 1 < len(parts) else None
            before, end, overlap, begun = concatenate(end), [], list[Tracks](), False
            while not isinstance(message := inbox.next_of(place), _End):
                for about, sentence in message.said.items():
                    if about not in said:
                        said.add(about)
                        logger.warning("%s", sentence)
                found = message.arrived
                overlap.append(found.tracks.rows(found.tracks.frame < part.turn))
                found = found.from_frame(part.turn)
                if not len(found.numbers):
                    continue
                if not begun and place:
                    names.begin(before, concatenate(overlap))
                begun = True
                found = found.called(names)
                if shared is not None:
                    end.append(found.tracks.rows(found.tracks.frame >= shared))
                yield found
            if place == 0:
                tracker.pictured = message.pictured


class _Running(NamedTuple):
    """A process, and where its messages come from."""

    part: Part
    process: BaseProcess
    receiver: Connection


class _Inbox:
    """Messages of all processes; those of parts whose turn has not come are kept."""

    def __init__(self, running: Sequence[_Running], progress: Callable[[int], None]) -> None:
        self._running = {each.receiver: each for each in running}
        self._kept = {each.receiver: deque[_Found | _End]() for each in running}
        self._receivers, self._progress = [each.receiver for each in running], progress

    def next_of(self, place: int) -> _Found | _End:
        """The next message of a part."""
        kept = self._kept[self._receivers[place]]
        while not kept:
            for receiver in wait(list(self._running)):
                self._receive(cast(Connection, receiver))
        return kept.popleft()

    def _receive(self, receiver: Connection) -> None:
        part, process, _ = self._running[receiver]
        try:
            message = pickle.loads(receiver.recv_bytes())
        except (EOFError, OSError):  # the latter in the middle of a message
            process.join()
            raise Failed(
                f"The process that tracked frames from {part.turn} on ended before it was done (exit code"
                f" {process.exitcode}): fewer processes need less memory, and a script has to call this below"
                ' if __name__ == "__main__".'
            ) from None
        if isinstance(message, Exception):
            raise message
        if isinstance(message, _End):
            del self._running[receiver]
        else:
            self._progress(int((message.arrived.numbers >= part.turn).sum()))
        self._kept[receiver].append(message)


@contextmanager
def _started(
    tracker: Tracker, video: Video, file: VideoLike, parts: Sequence[Part], masks: bool
) -> Iterator[list[_Running]]:
    """A process for each part; all end on leaving."""
    context, threads = get_context("spawn"), max(1, torch.get_num_threads() // len(parts))
    watch, tracker.watch = tracker.watch, None  # it refers to the open file
    pickled = pickle.dumps((tracker, file))
    tracker.watch = watch
    with ExitStack() as stack:
        # Given to a process as an argument, tensors would be shared by all, and starting it would wait for it. The
        # folder is this user's alone.
        given = Path(stack.enter_context(TemporaryDirectory(prefix="scalor-"))) / "tracker"
        given.write_bytes(pickled)
        running = []
        for place, part in enumerate(parts):
            options = replace(video.options, start=part.begin, stop=part.stop, levels=video.levels)
            receiver, sender = context.Pipe(duplex=False)
            stack.callback(receiver.close)
            arguments = (sender, given, options, place == 0, masks, threads)
            process = context.Process(target=_track_part, args=arguments, daemon=True)
            with sender, _deaf_to_interrupts():
                process.start()
            stack.callback(process.join)
            stack.callback(process.terminate)
            running.append(_Running(part, process, receiver))
        yield running


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A process that is started within does not hear Ctrl-C, which a terminal sends to all: the first one decides."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows it stops to listen when it begins its work
        yield
        return
    resource_tracker.ensure_running()  # it would end the mask if it were started within
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------ in a process of its own


def _track_part(sender: Connection, given: Path, options: ReadOptions, first: bool, masks: bool, threads: int) -> None:
    """Track a part.

    :param given: a file that holds the tracker and the video, pickled.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is imported stays
    keep_freed_memory()
    torch.set_num_threads(threads)
    try:
        tracker, file = pickle.loads(given.read_bytes())
        for message in _messages(tracker, file, options, first, masks):
            sender.send_bytes(pickle.dumps(message))
    except BrokenPipeError:  # whoever asked was killed
        return
    except (ValueError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        sender.send_bytes(pickle.dumps(error))
    finally:
        sender.close()


def _messages(
    tracker: Tracker, file: VideoLike, options: ReadOptions, first: bool, masks: bool
) -> Iterator[_Found | _End]:
    if not first:
        tracker.to_picture = 0
    with collected(LOGGER) as logged:
        video = Video(file if isinstance(file, np.ndarray) else Path(file)).again(options)
        logged.clear()  # whoever opened it first has said so
        tracker.watch = watch = TrackWatch(video, tracker.scalor, lambda _: None)
        try:
            for chunk in video.chunks(chunk_of(tracker)):
                found = _arrived(tracker.advance(chunk), video.geometry.size, masks)
                yield _Found(found, {**watch.said, **{each: each for each in logged}})
        except NoFrames:
            if first:
                raise
        yield _End(tracker.pictured)


def _arrived(found: Tracked, size: tuple[int, int], masks: bool) -> Arrived:
    packed = _packed(found.segments()) if masks else b""
    counts = found.propagated, found.discovered, found.foreground
    return Arrived(found.numbers, found.tracks, *counts, found.appearance, packed, size)
