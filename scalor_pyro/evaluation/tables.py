"""Tables: the one place that lines up columns, as plain text and as Markdown, and formats scores."""

import math
from collections.abc import Sequence

# Stands for a score where there was nothing to count.
NOTHING = "-"
# Least width of the names in a list of named values: lists below each other then line up.
NAME_WIDTH = 12


def named_values(rows: Sequence[tuple[str, str]]) -> str:
    """A list of names and values, indented: ``  frames       24``."""
    wide = max([NAME_WIDTH, *(len(name) for name, _ in rows)])
    return "\n".join(f"  {name:<{wide}} {value}" for name, value in rows)


def lined_up(lines: Sequence[Sequence[str]]) -> str:
    """Lines of as many cells each: the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))] if lines else []
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(value: float | None) -> str:
    """A score with three decimals, or more if it is small; :data:`NOTHING` where there was nothing to count."""
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.5f}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, …"""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return f"{number}{ending}"
