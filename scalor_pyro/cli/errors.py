"""One place for how a command fails: one sentence and an exit status, or a traceback if the fault is ours."""

import contextlib
import dis
import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import ParamSpec

from av.error import FFmpegError

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
# Characters of a message. A longer one quotes its input, and loses its middle.
LONGEST = 500
# Code whose `raise ValueError` is a message to the user; elsewhere a plain ValueError is a fault of the program. The
# folder of a command outside the package belongs to it, too.
PACKAGE = Path(__file__).parents[1]
# How PyTorch says that memory ran out where it raises a plain RuntimeError.
_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|not enough memory", re.IGNORECASE)
_BYTES = re.compile(r"tried to allocate (\d+(?:\.\d+)?) ?(bytes|[KMGT]iB)", re.IGNORECASE)
# How a distribution refuses parameters; only weights that are damaged or diverged lead to such numbers.
_NOT_FINITE = re.compile(r"to satisfy the constraint .*\b(nan|inf)\b", re.DOTALL)
_RAISE = dis.opmap["RAISE_VARARGS"]

Arguments = ParamSpec("Arguments")


def command(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Turn the errors of a ``main`` into one sentence on stderr and an exit status.

    ====  ==============================================================================================
    2     the user has to put something right: a :class:`ValueError` that this project raises, an
          :class:`OSError`, or too little memory
    130   Ctrl-C
    141   whoever read our output has gone (``scalor info … | head -1``); nothing is printed
    ====  ==============================================================================================

    Any other exception is a bug, and keeps its traceback. Warnings are printed in the same form as errors, and names
    that the terminal's encoding lacks are printed with escapes.
    """

    folders = PACKAGE, Path(inspect.getfile(main)).parent

    @wraps(main)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        _log_warnings()
        with _printable_names():
            try:
                status = main(*args, **kwargs)
                sys.stdout.flush()  # so that a broken pipe shows here, not when Python exits
                return status
            except KeyboardInterrupt:
                print("Interrupted.", file=sys.stderr)
                return INTERRUPTED
            except Exception as error:
                if _is_broken_pipe(error):
                    _drop_output()
                    return BROKEN_PIPE
                sentence = sentence_of(error, folders)
                if sentence is None:
                    raise
                print(f"error: {one_line(sentence)}", file=sys.stderr)
                return USER_ERROR

    return wrapped


def sentence_of(error: Exception, folders: Sequence[Path] = (PACKAGE,)) -> str | None:
    """What to tell the user about an error; None if it is a bug.

    :param folders: with code whose ``raise ValueError`` is a message to the user.
    """
    if isinstance(error, MemoryError) or _torch_lacks_memory(error):
        size = _BYTES.search(str(error))
        wanted = f" ({_amount(*size.groups())} more were needed)" if size else ""
        return f"Out of memory{wanted}; use smaller or fewer frames, a smaller batch, or fewer slots or samples."
    if isinstance(error, UnicodeEncodeError):
        return f"The name {error.object!r} cannot be written as {error.encoding}; rename the file or folder."
    if isinstance(error, OSError | FFmpegError):
        return _of_system(error)
    if isinstance(error, ValueError) and _raised_on_purpose(error, folders):
        return str(error)
    if isinstance(error, ValueError) and _NOT_FINITE.search(str(error)):
        return "The model computed NaN or infinity: expected the weights of a training that went well."
    return None


def one_line(message: str) -> str:
    """A message on one line: control characters escaped, and its middle left out if it is very long."""
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in message)


class _Warnings(logging.Formatter):
    """Warnings as messages are printed."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {one_line(record.getMessage())}"


def _log_warnings() -> None:
    """Print warnings, unless the program that calls has its own logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Warnings())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


@contextlib.contextmanager
def _printable_names() -> Iterator[None]:
    """Print names of files that the terminal's encoding does not have with escapes, rather than fail halfway."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError, ValueError):  # its reader has gone, or it is closed
            stream.reconfigure(errors=before)


def _torch_lacks_memory(error: Exception) -> bool:
    if type(error) is RuntimeError:
        return bool(_NO_MEMORY.search(str(error)))
    torch = sys.modules.get("torch")  # not imported for this: it takes seconds
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _amount(number: str, unit: str) -> str:
    if unit.lower() != "bytes":
        return f"{number} {unit}"
    return f"{float(number) / 2**30:.1f} GiB"


def _of_system(error: OSError | FFmpegError) -> str:
    """The name of the file and the system's reason, without its number."""
    reason, name = getattr(error, "strerror", None), getattr(error, "filename", None)
    if reason is None:
        return str(error) or type(error).__name__
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return f"{name}: {reason}." if name else f"{reason}."


def _is_broken_pipe(error: Exception) -> bool:
    """Whether our output has no reader; FFmpeg's error of the same name is about a file."""
    return isinstance(error, BrokenPipeError) and not isinstance(error, FFmpegError) and error.filename is None


def _drop_output() -> None:
    """Leave nothing for Python to flush into the broken pipe on exit."""
    with contextlib.suppress(io.UnsupportedOperation, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _raised_on_purpose(error: ValueError, folders: Sequence[Path]) -> bool:
    """Whether this project raised it to tell the user: a class of its own, or a ``raise`` statement in its code."""
    if type(error).__module__.startswith(PACKAGE.name):
        return True
    if error.__traceback__ is None:
        return False
    last = _last(error.__traceback__)
    code = last.tb_frame.f_code
    ours = any(Path(code.co_filename).is_relative_to(folder) for folder in folders)
    return ours and code.co_code[last.tb_lasti] == _RAISE


def _last(traceback: TracebackType) -> TracebackType:
    """The frame in which the error arose."""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
