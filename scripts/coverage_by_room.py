"""Prints the branch coverage that a run of the tests left behind, one line a room (`make coverage`)."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from coverage import Coverage

COUNTED = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def room_of(file: Path) -> str:
    """The folder below `src/` that a file stands in: the distribution's package, and one level under it."""
    inside = file.parts[file.parts.index("src") + 1 : -1]
    return "/".join(inside[:2])


def by_room(files: dict[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    """Sum what coverage counted in each file over the file's room."""
    rooms: dict[str, Counter[str]] = {}
    for name, measured in sorted(files.items()):
        rooms.setdefault(room_of(Path(name)), Counter()).update({key: measured["summary"][key] for key in COUNTED})
    return rooms


def table(rooms: dict[str, Counter[str]]) -> str:
    """The rooms as lines of text, with a last line for all of them."""
    wide = max(map(len, rooms))
    lines = [f"{'room':{wide}}  statements  covered  branches  covered"]
    for name, counts in [*sorted(rooms.items()), ("all", sum(rooms.values(), Counter()))]:
        statements, run, branches, taken = (counts[key] for key in COUNTED)
        lines.append(f"{name:{wide}}  {statements:10,}  {share(run, statements)}  {branches:8,}  {share(taken, branches)}")
    return "\n".join(lines)


def share(part: int, whole: int) -> str:
    """A percentage of seven characters; of nothing, a dash."""
    return f"{100 * part / whole:6.1f}%" if whole else f"{'-':>7}"


def main() -> None:
    """Read the data file of the last run; end with a message where there is none."""
    coverage = Coverage()
    coverage.load()
    if not coverage.get_data().measured_files():
        sys.exit("coverage: no data; run `make coverage`")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        coverage.json_report(outfile=str(report))
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
    sys.stdout.write("Coverage by room, of the processes of the tests alone; processes that tests start are not counted.\n")
    sys.stdout.write(table(by_room(files)) + "\n")


if __name__ == "__main__":
    main()
