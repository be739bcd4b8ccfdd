"""Damaged files for every reader and every command: does each get one sentence?

Makes small valid files of each kind, changes them (bits, cuts, inserted and doubled bytes, fields of text), and reads
them in this process::

    python benchmarks/fuzz_readers.py --inputs 2000 --seed 0

An input is *fine* if it was read, *refused* if it got one sentence (and exit status 2 from a command). What must not
happen: a *traceback*; a *silent* change, where the file no longer matches a checksum of its own and was read all the
same, without a warning; an input that takes *longer* than the limit. ``--seed S --only N`` repeats input N of seed S.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import tifffile
from PIL import Image

from scalor_pyro.cli import main as scalor
from scalor_pyro.experiments.videos import RESULTS
from scalor_pyro.tracks.appearance import ENDING as APPEARANCE
from scalor_pyro.tracks.appearance import Appearances, records_of
from scalor_pyro.tracks.text import read_csv
from scalor_pyro.video import Video, VideoError
from scalor_pyro.video.containers import clock_of

# Seconds that an input may take.
LIMIT = 60
FRAMES, HEIGHT, WIDTH = 12, 32, 48
# A model that is trained and loaded in a second.
TINY = {"feature_dim": 16, "tracker_dim": 16, "prior_dim": 8, "z_what_dim": 8, "glimpse_size": 8}
INTERESTING = (0, 1, 127, 128, 255)
# Numbers for weights.
NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e6, 1e-42, 0.0, -1.0)
WORDS = (
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1" * 400,
    "9" * 25,
    "true",
    "null",
    "[]",
    "{}",
    '"',
    ",",
    "\x00",
    "ü",
)
# Values for the options of a command.
VALUES = (
    "0",
    "1",
    "2",
    "3",
    "7",
    "-1",
    "0.5",
    "1.5",
    "1e9",
    "4294967296",
    "9223372036854775808",
    "nan",
    "inf",
    "1e-300",
)
OUTCOMES = ("fine", "refused", "traceback", "silent", "longer")


Damage = Callable[[bytes, np.random.Generator], bytes]
Change = Callable[[Path, np.random.Generator], None]


class TooLong(BaseException):
    """Raised by the alarm; no reader may catch it."""


class Warnings(logging.Handler):
    """The warnings of an input."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


WARNINGS = Warnings()


class Kind(NamedTuple):
    """A kind of input."""

    valid: tuple[str, ...]  # folders of valid files to begin with; each is copied into one, or to its place there
    change: Change  # of the copy
    read: Callable[[Path], str]  # → "fine" or "refused"; raises what a traceback would show
    checksum: Callable[[Path], bool] | None = None  # whether the folder still matches its own checksums


# ------------------------------------------------------------------ valid files


def film() -> np.ndarray:
    """(T, H, W, 3): two squares that move over a textured background."""
    generator = np.random.default_rng(0)
    ground = generator.integers(40, 100, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    video = np.repeat(np.broadcast_to(ground, (HEIGHT, WIDTH, 3))[None], FRAMES, 0)
    for t in range(FRAMES):
        for i in range(2):
            x = (5 + 20 * i + 2 * t) % (WIDTH - 8)
            video[t, 4 + 14 * i : 12 + 14 * i, x : x + 8] = 230
    return video


def write_container(path: Path, codec: str, pixel_format: str) -> None:
    """Encode the film at 10 frames per second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for image in film():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def make_valid(folder: Path, with_run: bool = True) -> None:
    """A folder for each kind."""
    video = film()
    images = [Image.fromarray(each) for each in video]
    for name in ("npy", "npz", "png", "pgm", "tiff", "deflate", "gif", "webp", "apng", "text", "folder"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "npy" / "a.npy", video)
    np.savez_compressed(folder / "npz" / "a.npz", frames=video)
    for t, image in enumerate(images[:4]):
        image.save(folder / "png" / f"{t}.png")
        grey = np.asarray(image.convert("L"))
        deep = (257 * grey.astype(">u2")).tobytes()
        (folder / "pgm" / f"{t}.pgm").write_bytes(b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + deep)
        image.save(folder / "folder" / f"{t}.{('png', 'jpg', 'bmp', 'ppm')[t]}")
    tifffile.imwrite(folder / "tiff" / "a.tif", video[..., 0], imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "deflate" / "a.tif", video, photometric="rgb", compression="zlib")
    for name, suffix in (("gif", "gif"), ("webp", "webp"), ("apng", "png")):
        images[0].save(folder / name / f"a.{suffix}", save_all=True, append_images=images[1:], duration=100)
    for name, codec, pixel_format in (
        ("mp4", "libx264", "yuv420p"),
        ("mkv", "ffv1", "bgr0"),
        ("ts", "mpeg2video", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
    ):
        (folder / name).mkdir()
        write_container(folder / name / f"a.{name}", codec, pixel_format)
    if with_run:
        make_run(folder)


def make_run(folder: Path) -> None:
    """A tiny run, and tracks that it wrote."""
    (folder / "settings").mkdir()
    config = folder / "settings" / "settings.json"
    config.write_text(json.dumps({"model": TINY, "train": {"log_every": 1}, "video": {"options": {"stride": 1}}}))
    video, run, tracks = folder / "npy" / "a.npy", folder / "run", folder / "tracks"
    with quiet():
        status = scalor(
            ["train", str(video), "--out", str(run), "--from-scratch", "--steps", "1", "--config", str(config)]
        )
        status += scalor(["track", str(video), "--weights", str(run), "--out", str(tracks), "--no-report"])
    if status:
        raise SystemExit("The valid run could not be made.")
    # As if the untrained model had seen something, so that it knows how many objects to make up.
    (run / RESULTS).write_text(json.dumps({"objects_per_frame": 2.0, "propagation_rate": 0.9, "foreground_share": 0.1}))
    # Rows of objects, whatever the untrained model saw.
    rows = [f"{t},{i},{2 * t + 9 * i},{4 + i},8,8,1,-1,-1,-1" for t in range(1, FRAMES + 1) for i in (1, 2)]
    (folder / "text" / "truth.txt").write_text("\n".join(rows) + "\n")
    header = (tracks / "a.csv").read_text().splitlines()[0]
    numbers = ["0" if name == "predicted" else "3.5" for name in header.split(",")[2:]]  # after frame and particle
    lines = [",".join([str(t), str(i), *numbers]) for t in range(FRAMES) for i in (0, 1)]
    (folder / "text" / "a.csv").write_text("\n".join([header, *lines]) + "\n")
    seen = read_csv(folder / "text" / "a.csv")
    np.save(folder / "text" / f"a{APPEARANCE}", records_of(seen, Appearances(np.ones((len(seen), 4), np.float32))))


# ------------------------------------------------------------------ changes


def damage(content: bytes, generator: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, inserted or doubled."""
    data = bytearray(content)
    # Without shifting the rest, readers get farther.
    changes = 3 if generator.random() < 0.5 else 7
    for _ in range(int(generator.integers(1, 5))):
        # Half of the changes hit the header, where they do most.
        reach = min(len(data), 512) if generator.random() < 0.5 else len(data)
        place, length = int(generator.integers(0, max(1, reach))), int(generator.integers(1, 64))
        match int(generator.integers(0, changes)):
            case 0 if data:
                data[place] ^= 1 << int(generator.integers(0, 8))
            case 1 if data:
                data[place] = int(generator.choice(INTERESTING))
            case 2:
                data[place : place + 4] = int(generator.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
            case 3:
                del data[place:]
            case 4:
                del data[place : place + length]
            case 5:
                data[place:place] = generator.bytes(length)
            case _:
                data[place:place] = data[place : place + length]
    return bytes(data)


def damage_text(content: bytes, generator: np.random.Generator) -> bytes:
    """Fields and lines of a text exchanged, emptied or doubled, or some bytes."""
    if generator.random() < 0.3:
        return damage(content, generator)
    separators = b",\n:[]{}"
    parts: list[bytes] = []
    for byte in content:
        if byte in separators or not parts or parts[-1] in [bytes([each]) for each in separators]:
            parts.append(bytes([byte]))
        else:
            parts[-1] += bytes([byte])
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(0, len(parts)))
        match int(generator.integers(0, 4)):
            case 0:
                parts[place] = WORDS[int(generator.integers(0, len(WORDS)))].encode()
            case 1:
                parts.insert(place, parts[int(generator.integers(0, len(parts)))])
            case 2 if len(parts) > 1:
                del parts[place]
            case _:
                parts[place] *= int(generator.choice([2, 50, 3000]))
    return b"".join(parts)


def damage_archive(content: bytes, generator: np.random.Generator) -> bytes:
    """An archive, or one whose checksums are right again after a file in it was damaged."""
    if generator.random() < 0.5:
        return damage(content, generator)
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        names = old.namelist()
        chosen = names[int(generator.integers(0, len(names)))]
        for name in names:
            inside = old.read(name)
            new.writestr(name, damage(inside, generator) if name == chosen else inside)
    return result.getvalue()


def damage_png(content: bytes, generator: np.random.Generator) -> bytes:
    """A picture, or one whose checksums are right again after a chunk was damaged."""
    if generator.random() < 0.5:
        return damage(content, generator)
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    chosen = int(generator.integers(0, len(chunks)))
    chunks[chosen] = chunks[chosen][0], damage(chunks[chosen][1], generator)
    result = content[:8]
    for kind, data in chunks:
        result += len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return result


def damage_weights(content: bytes, generator: np.random.Generator) -> bytes:
    """Weights, or some with odd numbers, or ones whose header has the right length again after it was damaged."""
    chance = generator.random()
    if chance < 0.3:
        return damage(content, generator)
    length = int.from_bytes(content[:8], "little")
    if chance < 0.6:
        numbers = np.frombuffer(content[8 + length :], "<f4").copy()
        places = generator.integers(0, len(numbers), int(generator.choice([1, 1000])))
        numbers[places] = generator.choice(np.array(NUMBERS, "<f4"))
        return content[: 8 + length] + numbers.tobytes()
    header = damage_text(content[8 : 8 + length], generator)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def changed(name: str, how: Damage) -> Change:
    """Change one file of a folder; `name` may be a pattern."""

    def change(folder: Path, generator: np.random.Generator) -> None:
        paths = sorted(folder.glob(name))
        path = paths[int(generator.integers(0, len(paths)))]
        path.write_bytes(how(path.read_bytes(), generator))

    return change


COMMANDS = (
    "info a.npy --crop 0 0 48 32 --stride 1 --stop 10",
    "evaluate truth.txt --truth truth.txt --match distance --threshold 5 --json scores.json",
    "track a.npy --weights run --out out --start 1 --stop 3 --stride 1 --player 2 --slots 4",
    "generate a.npy --weights run --out out --observed 2 --frames 3 --samples 1 --seed 1",
    "generate --weights run --out out --frames 2 --samples 1 --first-presence 0.5",
    "train a.npy --out new --steps 1 --seed 1 --sigma 0.2 --config settings.json",
    "train --resume --out run",
    "weights",
)


def change_command(folder: Path, generator: np.random.Generator) -> None:
    """A command line with values exchanged, or words left out, doubled or damaged."""
    words = COMMANDS[int(generator.integers(0, len(COMMANDS)))].split()
    for _ in range(int(generator.integers(1, 3))):
        place = int(generator.integers(0, len(words)))
        values = [index for index, word in enumerate(words) if word[:1].isdigit()]
        match int(generator.integers(0, 5)):
            case 0 | 1 if values:
                words[values[int(generator.integers(0, len(values)))]] = str(generator.choice(VALUES))
            case 2:
                words[place] = WORDS[int(generator.integers(0, len(WORDS)))]
            case 3 if len(words) > 1:
                del words[place]
            case _:
                changed_word = damage(words[place].encode("utf-8", "surrogateescape"), generator).decode(
                    "utf-8", "surrogateescape"
                )
                words[place] = changed_word.replace("/", "").replace("..", ".")
    (folder / "command.json").write_text(json.dumps(words))


# ------------------------------------------------------------------ reading


def read_video(name: str) -> Callable[[Path], str]:
    """Read all frames of a video, as the library does."""

    def read(folder: Path) -> str:
        path = folder / name if name else folder
        try:
            for chunk in Video(path).chunks(4):
                chunk.tensor()
        except VideoError as error:
            return one_sentence(str(error))
        return "fine"

    return read


def read_command(*arguments: str) -> Callable[[Path], str]:
    """A command in the folder."""

    def read(folder: Path) -> str:
        words = json.loads((folder / "command.json").read_text()) if not arguments else list(arguments)
        with quiet() as output:
            try:
                status = scalor(words)
            except SystemExit as exit_:  # argparse
                status = exit_.code if isinstance(exit_.code, int) else 1
        if status == 0:
            return "fine"
        errors = [line for line in output.getvalue().splitlines() if "error: " in line]
        most = len(words) if words[0] == "track" else 1  # one for each video
        if status != 2 or not 1 <= len(errors) <= most:
            raise AssertionError(f"exit status {status} with {len(errors)} sentences: {output.getvalue()[-300:]!r}")
        return [one_sentence(error) for error in errors][0]

    return read


def one_sentence(text: str) -> str:
    """ "refused", if the message is one short line."""
    if "\n" in text or len(text) > 600 or not text.strip():
        raise AssertionError(f"no short sentence: {text[:300]!r}")
    return "refused"


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """What is printed meanwhile."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        yield output


def zip_is_whole(name: str) -> Callable[[Path], bool]:
    """Whether an archive matches its checksums."""

    def whole(folder: Path) -> bool:
        try:
            with zipfile.ZipFile(folder / name) as archive:
                return archive.testzip() is None
        except Exception:  # whatever a damaged archive raises, it is not whole
            return False

    return whole


def mkv_is_whole(folder: Path) -> bool:
    """Whether the frames of a video in FFV1 match their checksums."""
    try:
        return clock_of(folder / "a.mkv", 0, (folder / "a.mkv").stat().st_size).damaged == 0
    except VideoError:
        return False


def background_is_whole(folder: Path) -> bool:
    """Whether the pictures of a run match the checksums of their chunks."""
    return pngs_are_whole(folder / "run")


def pngs_are_whole(folder: Path) -> bool:
    """Whether all pictures match the checksums of their chunks."""
    for path in folder.glob("*.png"):
        content, place, kind = path.read_bytes(), 8, b""
        while kind != b"IEND":
            length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
            end = place + 8 + length
            if content[end : end + 4] != zlib.crc32(content[place + 4 : end]).to_bytes(4, "big"):
                return False
            place = end + 4
    return True


# Commands on files that are damaged.
TRACK = ("track", "a.npy", "--weights", "run", "--out", "out", "--stop", "3", "--no-report")
TRACK_ALL = ("track", "a.mp4", "--weights", "run", "--out", "new", "--player", "2", "--annotate", "--masks", "--napari")
AGAIN = ("track", "a.npy", "--weights", "run", "--out", "out", "--no-report", "--resume")
RESUME = ("train", "--resume", "--out", "run")
TRAIN = ("train", "a.npy", "--out", "new", "--from-scratch", "--steps", "1", "--config", "settings.json")
FORECAST = (
    "generate",
    "a.npy",
    "--weights",
    "run",
    "--out",
    "new",
    "--observed",
    "2",
    "--frames",
    "3",
    "--samples",
    "1",
)
IMAGINE = ("generate", "--weights", "run", "--out", "new", "--frames", "2", "--samples", "1")
EVALUATE = ("evaluate", "truth.txt", "--truth", "truth.txt")
LINK = ("link", "a.csv", "--out", "new")
STATE, WEIGHTS = "run/training_state.pt", "run/weights.safetensors"
RUN = ("npy", "run")
KINDS: dict[str, Kind] = {
    # Readers of videos, as the library has them.
    "npy": Kind(("npy",), changed("a.npy", damage), read_video("a.npy")),
    "npz": Kind(("npz",), changed("a.npz", damage_archive), read_video("a.npz"), zip_is_whole("a.npz")),
    "png": Kind(("png",), changed("*.png", damage_png), read_video(""), pngs_are_whole),
    "pgm": Kind(("pgm",), changed("*.pgm", damage), read_video("")),
    "folder": Kind(("folder",), changed("*", damage), read_video("")),
    "tiff": Kind(("tiff",), changed("a.tif", damage), read_video("a.tif")),
    "deflate": Kind(("deflate",), changed("a.tif", damage), read_video("a.tif")),
    "gif": Kind(("gif",), changed("a.gif", damage), read_video("a.gif")),
    "webp": Kind(("webp",), changed("a.webp", damage), read_video("a.webp")),
    "apng": Kind(("apng",), changed("a.png", damage_png), read_video("a.png"), pngs_are_whole),
    "mp4": Kind(("mp4",), changed("a.mp4", damage), read_video("a.mp4")),
    "mkv": Kind(("mkv",), changed("a.mkv", damage), read_video("a.mkv"), mkv_is_whole),
    "ts": Kind(("ts",), changed("a.ts", damage), read_video("a.ts")),
    "avi": Kind(("avi",), changed("a.avi", damage), read_video("a.avi")),
    # Commands on damaged videos.
    "info, mp4": Kind(("mp4",), changed("a.mp4", damage), read_command("info", "a.mp4", "--out", "boxes.png")),
    "track, mp4": Kind(("mp4", "run"), changed("a.mp4", damage), read_command(*TRACK_ALL)),
    "train, npy": Kind(("npy", "settings"), changed("a.npy", damage), read_command(*TRAIN)),
    # Texts.
    "MOT text": Kind(("text",), changed("truth.txt", damage_text), read_command(*EVALUATE)),
    "CSV tracks": Kind(
        ("text",), changed("a.csv", damage_text), read_command("evaluate", "a.csv", "--truth", "truth.txt")
    ),
    "CSV, link": Kind(("text",), changed("a.csv", damage_text), read_command(*LINK)),
    "appearance": Kind(("text",), changed(f"a{APPEARANCE}", damage), read_command(*LINK)),
    "summary": Kind((*RUN, "tracks"), changed("out/a.json", damage_text), read_command(*AGAIN)),
    "settings": Kind(("npy", "settings"), changed("settings.json", damage_text), read_command(*TRAIN)),
    # Files of a run.
    "config.json": Kind(RUN, changed("run/config.json", damage_text), read_command(*TRACK)),
    "results.json": Kind(RUN, changed("run/results.json", damage_text), read_command(*IMAGINE)),
    "weights, track": Kind(RUN, changed(WEIGHTS, damage_weights), read_command(*TRACK)),
    "weights, generate": Kind(RUN, changed(WEIGHTS, damage_weights), read_command(*FORECAST)),
    "background": Kind(RUN, changed("run/*.png", damage_png), read_command(*TRACK), background_is_whole),
    "training state": Kind(RUN, changed(STATE, damage_archive), read_command(*RESUME), zip_is_whole(STATE)),
    "metrics.jsonl": Kind(RUN, changed("run/metrics.jsonl", damage_text), read_command(*RESUME)),
    # Command lines.
    "command line": Kind((*RUN, "text", "settings"), change_command, read_command()),
}
# Places of folders of valid files in the copy; the files of others lie there side by side.
PLACES = {"run": "run", "tracks": "out"}


def prepare(valid: Path, kind: str, folder: Path) -> None:
    """Copy the valid files of a kind; a summary of tracks then names the copy of the video."""
    for name in KINDS[kind].valid:
        shutil.copytree(valid / name, folder / PLACES.get(name, ""), dirs_exist_ok=True)
    summary = folder / "out" / "a.json"
    if summary.exists():
        summary.write_text(summary.read_text().replace(str(valid / "npy"), str(folder)))


def try_input(valid: Path, work: Path, kind: str, seed: int, number: int) -> tuple[str, float, str]:
    """One input: its outcome, the seconds it took, and the last line of a traceback. Number -1 is the valid one."""
    folder = work / f"{number}"
    prepare(valid, kind, folder)
    what = KINDS[kind]
    if number >= 0:
        what.change(folder, np.random.default_rng([seed, number]))
    before, started, said = os.getcwd(), time.monotonic(), ""
    os.chdir(folder)
    WARNINGS.texts.clear()
    clock_of.cache_clear()  # each input has its own file of this name
    signal.alarm(LIMIT)
    try:
        outcome = what.read(folder)
        warned = bool(WARNINGS.texts)
        if outcome == "fine" and what.checksum is not None and not warned and not what.checksum(folder):
            outcome = "silent"
    except TooLong:
        outcome = "longer"
    except Exception as error:  # the traceback that is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome = "traceback"
        said = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {str(error)[:150]!r}"
    finally:
        signal.alarm(0)
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    return ("longer" if seconds > LIMIT else outcome), seconds, said


def table(outcomes: dict[str, Counter[str]], slowest: dict[str, float]) -> str:
    """The counts, in Markdown."""
    rows = ["| kind | inputs | fine | refused | tracebacks | silent | over 60 s | slowest, s |", "|---|" + "---:|" * 7]
    for kind, found in [*outcomes.items(), ("all", sum(outcomes.values(), Counter()))]:
        counts = " | ".join(str(found[outcome]) for outcome in OUTCOMES)
        longest = max(slowest.values()) if kind == "all" else slowest[kind]
        rows.append(f"| {kind} | {found.total()} | {counts} | {longest:.1f} |")
    return "\n".join(rows)


def main() -> int:
    """Try the inputs, and print what happened; 1 if something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, metavar="N", help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    parser.add_argument("--only", type=int, metavar="N", help="repeat one input")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="default: all")
    options = parser.parse_args()

    def too_long(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, too_long)
    logging.basicConfig(handlers=[WARNINGS])
    every, chosen = list(KINDS), set(options.kinds)
    outcomes = {kind: Counter[str]() for kind in every if kind in chosen}
    slowest = dict.fromkeys(outcomes, 0.0)
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        valid, work = Path(temporary) / "valid", Path(temporary) / "work"
        work.mkdir()
        needed = {name for kind in chosen for name in KINDS[kind].valid}
        make_valid(valid, with_run=not needed.isdisjoint({"run", "text", "settings"}))
        for kind in outcomes:
            if kind != "command line" and (found := try_input(valid, work, kind, 0, -1))[0] != "fine":
                raise SystemExit(f"The valid {kind} is {found[0]} {found[2]}.")
        for number in range(options.inputs) if options.only is None else [options.only]:
            kind = every[number % len(every)]
            if kind not in chosen:
                continue
            outcome, seconds, said = try_input(valid, work, kind, options.seed, number)
            outcomes[kind][outcome] += 1
            slowest[kind] = max(slowest[kind], seconds)
            if outcome not in ("fine", "refused"):
                failed.append(f"{kind}, --seed {options.seed} --only {number}: {outcome} {said}")
                print(failed[-1], file=sys.stderr, flush=True)
    print(table(outcomes, slowest))
    for line in failed:
        print(f"- {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
