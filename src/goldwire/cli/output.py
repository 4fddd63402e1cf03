"""What commands show: results on standard output, progress and errors on standard error.

With `--json` standard output carries one JSON document and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress


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
    sys.stderr.write(text + "\n")


def warn_unapplied(file: str | Path, targets: Iterable[str]) -> None:
    """Write to standard error that the contracts of these targets are not applied as the configuration has them."""
    for name in targets:
        note(f"goldwire: {name}: the contract in {file} is not applied; `goldwire apply` does it")


def complain(text: str) -> None:
    """Write an error to standard error, a line for each problem it holds."""
    for line in text.splitlines() or [""]:
        sys.stderr.write(f"goldwire: {line}\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Write a table to standard output; numbers stand to the right, and nothing is cut off where output is no terminal."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - Rich takes a tenth of a second to import
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    listed = [[_cell(value) for value in row] for row in rows]
    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(row[index][1] for row in listed)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        drawn.add_row(*[Text(text) for text, _ in row])
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 200))
    console.print(drawn)


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
        disable=quiet or not console.is_terminal,
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
