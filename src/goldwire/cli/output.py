"""What commands show: results on standard output, progress and errors on standard error.

With `--json` standard output carries one JSON document and nothing else, and a line on standard error is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress


_PREFIX = "goldwire: "


class _Remarks:
    """How lines are written to standard error: for people, or as one JSON object each."""

    def __init__(self) -> None:
        self.as_json = False

    def write(self, level: str, text: str, **fields: Any) -> None:
        """Write a line."""
        if not self.as_json:
            sys.stderr.write(text + "\n")
            return
        now = datetime.now(UTC).isoformat()
        document = {"event": text.strip().removeprefix(_PREFIX), "level": level, "timestamp": now, **fields}
        sys.stderr.write(json.dumps(document, sort_keys=True) + "\n")


_remarks = _Remarks()


def write_remarks_as_json() -> None:
    """Write everything on standard error as one JSON object a line from now on; there is no progress display then."""
    _remarks.as_json = True


def show(result: Any, *, as_json: bool, render: Callable[[], None]) -> None:
    """Write a command's result.

    Args:
        result: plain values or msgspec structs, for machines.
        as_json: write that, and do not render.
        render: writes it for people.
    """
    if not as_json:
        render()
        return
    import msgspec  # noqa: PLC0415 - only where it is used, so that --help is quick

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: `1 row`, `2,000 rows`; `plural` is for a noun that takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def not_as_the_contract_says(target: str, stale: int) -> str:
    """Say of how many entities a target does not hold what its contract says, and what mends that."""
    are = "is" if stale == 1 else "are"
    mend = f"`goldwire resync {target} --stale` mends it"
    return f"{target}: {counted(stale, 'entity', 'entities')} {are} not as the contract says; {mend}"


def waits_for_a_yes(target: str, resync: str) -> str:
    """Say that a resync is held by the guards, and what lets it go on."""
    return (
        f"{target}: resync {resync} waits, because more would leave the target than its guards let go. `goldwire resync show "
        f"{resync}` shows what; if that is meant, `goldwire resume {target} --yes`, else `goldwire resync cancel {resync}`"
    )


def say(text: str) -> None:
    """Write a line for people to standard output, as it is."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Write a line beside the result, to standard error."""
    _remarks.write("info", text)


def warn_unapplied(file: str | Path, targets: Iterable[str]) -> None:
    """Write to standard error that the contracts of these targets are not applied as the configuration has them."""
    for name in targets:
        note(f"goldwire: {name}: the contract in {file} is not applied; `goldwire apply` does it")


def complain(text: str, *, kind: str = "", code: int | None = None) -> None:
    """Write an error to standard error, a line for each problem it holds; as JSON one object for all of them.

    Args:
        text: the error.
        kind: its class, for machines,
        code: and the exit code that it leads to.
    """
    if _remarks.as_json:
        fields = {"kind": kind, "exit_code": code} if code is not None else {}
        _remarks.write("error", text, **fields)
        return
    for line in text.splitlines() or [""]:
        _remarks.write("error", _PREFIX + line)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Write a table to standard output; numbers stand to the right, and no word is broken.

    Where it does not fit, each row is written as a list of its fields. Where output is no terminal and `COLUMNS` is not set, a
    line may have 200 characters.
    """
    from rich.console import Console  # noqa: PLC0415 - Rich takes a tenth of a second to import

    listed = [[_cell(value) for value in row] for row in rows]
    console = Console(highlight=False)
    width = console.width
    if not console.is_terminal and "COLUMNS" not in os.environ:
        width = max(width, WIDTH_WITHOUT_TERMINAL)
    shown = [[column, *(row[index][0] for row in listed)] for index, column in enumerate(columns)]
    widths = fitted(
        [max(len(text) for text in texts) for texts in shown],
        [max(len(word) for text in texts for word in text.split() or [""]) for texts in shown],
        width - GAP * (len(columns) - 1),
    )
    if widths is None:
        if title is not None:
            say(title)
        _fields(columns, [[text for text, _ in row] for row in listed], width)
        return
    _draw(Console(highlight=False, width=max(width, 1)), columns, listed, widths, title)


WIDTH_WITHOUT_TERMINAL = 200
GAP = 3
"""Between two columns of a table."""


def fitted(natural: Sequence[int], least: Sequence[int], width: int) -> list[int] | None:
    """Return how wide columns are that share so many characters; None where a word would have to be broken.

    Args:
        natural: how wide each would be,
        least: and its longest word.
        width: what there is for all of them.
    """
    widths = list(natural)
    while sum(widths) > width:
        wider = [index for index in range(len(widths)) if widths[index] > least[index]]
        if not wider:
            return None
        widths[max(wider, key=lambda index: widths[index])] -= 1
    return widths


def _draw(
    console: Console, columns: Sequence[str], listed: Sequence[Sequence[tuple[str, bool]]], widths: Sequence[int],
    title: str | None,
) -> None:  # fmt: skip
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        numeric = bool(listed) and all(row[index][1] for row in listed)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold", width=width)
    for row in listed:
        drawn.add_row(*[Text(text) for text, _ in row])
    console.print(drawn)


def _fields(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """Write each row as lines of a name and a value."""
    indent = max((len(column) for column in columns), default=0) + 2
    for number, row in enumerate(rows):
        if number:
            say("")
        for column, text in zip(columns, row, strict=True):
            lines = textwrap.wrap(text, max(width - indent, 1), break_long_words=False, break_on_hyphens=False)
            say((column.ljust(indent) + ("\n" + " " * indent).join(lines)).rstrip())


def progress(*, quiet: bool = False, refreshes_per_second: float = 10) -> AbstractContextManager[Progress]:
    """Return a progress display on standard error; it stays silent where that is no terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=refreshes_per_second,
        disable=quiet or _remarks.as_json or not console.is_terminal,
    )


def _cell(value: Any) -> tuple[str, bool]:
    if value is None:
        return "", True
    if isinstance(value, bool):
        return "yes" if value else "no", False
    if isinstance(value, int):
        return f"{value:,}", True
    # Text from outside must not steer the terminal.
    return "".join(sign if sign.isprintable() else " " for sign in str(value)), False
