"""Lets mkdocstrings show the package's docstrings, which are reStructuredText, in a site of Markdown.

Griffe reads the fields (``:param x:``) itself. This extension rewrites the text between them: roles become links to the
API pages, literal blocks become fenced code, simple tables become Markdown tables, and formulas become MathML, which
browsers draw without a script.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe
from latex2mathml.converter import convert

PACKAGE = "scalor_pyro"
logger = griffe.get_logger(__name__)

ROLE = re.compile(r":(?:py:)?(class|func|meth|mod|attr|data|exc|obj):`(~?)([\w.]+)`")
INLINE_MATH = re.compile(r":math:`([^`]+)`")
LITERAL = re.compile(r"(?<!`)``(?!`)([^`\n]+)``(?!`)")
BORDER = re.compile(r"=+(?: +=+)+")
BULLET = re.compile(r"\s*(?:[-*]|\d+\.) ")


class SphinxDocstrings(griffe.Extension):
    """Rewrites every docstring of the package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Called by Griffe for the whole package."""
        if pkg.path == PACKAGE:
            for room in pkg.members.values():
                if isinstance(room, griffe.Module):
                    room.exports = None  # a room's page shows each name once, in the module that defines it
            for each in objects(pkg):
                if each.docstring is not None:
                    each.docstring.value = markdown(each.docstring.value, each)


def objects(parent: Any) -> Iterator[Any]:
    """An object and all that is defined in it; imported names are left to where they are defined."""
    yield parent
    for member in parent.members.values():
        if not member.is_alias:
            yield from objects(member)


def markdown(text: str, owner: Any) -> str:
    """A docstring's reStructuredText as Markdown; its fields stay as they are."""
    lines: list[str] = []
    rest = inspect.cleandoc(text).splitlines()
    while rest:
        line = rest.pop(0)
        if line.strip() == ".. math::":
            lines += ["", math(block(rest)), ""]
        elif BORDER.fullmatch(line.strip()):
            lines += ["", *table(line.strip(), rest), ""]
        elif line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
            head = line.rstrip()[:-1]
            lines += [inline(head, owner), "", "```python", *block(rest).splitlines(), "```", ""]
        else:
            if BULLET.match(line) and lines and lines[-1].strip() and not BULLET.match(lines[-1]):
                lines += [""] * (not lines[-1].startswith(" "))  # Markdown wants an empty line before a list
            lines.append(inline(line, owner))
    return "\n".join(lines)


def block(rest: list[str]) -> str:
    """Take the indented block that comes next, without its indentation."""
    taken = []
    while rest and (not rest[0].strip() or rest[0].startswith(" ")):
        taken.append(rest.pop(0))
    return textwrap.dedent("\n".join(taken)).strip("\n")


def math(tex: str) -> str:
    """A displayed formula; lines that are aligned at ``&`` stay so."""
    aligned = f"\\begin{{split}}{tex}\\end{{split}}" if "&" in tex else tex
    return " ".join(convert(" ".join(aligned.split()), display="block").splitlines())


def table(border: str, rest: list[str]) -> list[str]:
    """A simple table, of which the first border is taken already.

    A row whose first cell is empty continues the row above it.
    """
    spans = [match.span() for match in re.finditer("=+", border)]
    ends = [start for start, _ in spans[1:]] + [None]
    rows: list[list[str]] = []
    borders = 1
    while rest and borders < 3:
        line = rest.pop(0)
        if BORDER.fullmatch(line.strip()):
            borders += 1
            if borders == 2 and (not rest or not rest[0].strip()):
                break  # a table without a head
            continue
        cells = [line[start:end].strip() for (start, _), end in zip(spans, ends, strict=True)]
        if rows and not cells[0]:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    heads = rows.pop(0) if borders >= 3 else [""] * len(spans)
    shown = [LITERAL.sub(r"`\1`", " | ".join(cell.replace("|", "\\|") for cell in row)) for row in (heads, *rows)]
    return [f"| {shown[0]} |", "|" + " --- |" * len(spans), *(f"| {row} |" for row in shown[1:])]


def inline(line: str, owner: Any) -> str:
    """Roles, inline formulas and literals of one line."""
    line = ROLE.sub(lambda match: reference(match, owner), line)
    line = INLINE_MATH.sub(lambda match: convert(match[1]), line)
    return LITERAL.sub(r"`\1`", line)


def reference(match: re.Match[str], owner: Any) -> str:
    """A role as a link, or as code where it names something of another package."""
    short, name = bool(match[2]), match[3]
    call = "()" if match[1] in ("func", "meth") else ""
    label = (name.rpartition(".")[2] if short else name) + call
    found = resolved(name, owner)
    if found is None:
        if name.partition(".")[0] == PACKAGE:
            logger.warning("%s: the docstring refers to %s, which does not exist.", owner.path, name)
        return f"`{label}`"
    return f'<autoref identifier="{found}" optional><code>{label}</code></autoref>'


def resolved(name: str, owner: Any) -> str | None:
    """The full path of a name as the docstring's object sees it: in its class, its module, its room or the package."""
    first, _, rest = name.partition(".")
    if first == PACKAGE:
        return path_of(owner.package, rest)
    scope = owner
    while scope is not None:
        found = path_of(scope, name)
        if found is not None:
            return found
        scope = scope.parent
    return None


def path_of(scope: Any, name: str) -> str | None:
    """The path under which an object is documented: where it is defined."""
    found = scope
    for part in filter(None, name.split(".")):
        try:
            found = found.members[part] if not found.is_alias else found.final_target.members[part]
        except (KeyError, AttributeError, griffe.AliasResolutionError):
            return None
    try:
        return str(found.final_target.path if found.is_alias else found.path)
    except griffe.AliasResolutionError:
        return None  # of another package
