"""Prints the score of a sample of mutants by room, and each survivor with its file, line and difference."""

from __future__ import annotations

import difflib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
"""Mutants that change nothing a caller can notice, each with the reason."""


def difference(mutant: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The lines that a mutant takes away and those that it brings, without their indent."""
    before = (ROOT / mutant["file"]).read_text(encoding="utf-8").splitlines()
    lines = list(difflib.unified_diff(before, mutant["source"].splitlines(), n=0, lineterm=""))[3:]
    gone = [line[1:].strip() for line in lines if line.startswith("-")]
    come = [line[1:].strip() for line in lines if line.startswith("+")]
    return gone, come


def equivalents() -> list[dict[str, str]]:
    """What is known to change nothing: `file`, `before`, `after`, `reason`."""
    if not EQUIVALENT.exists():
        return []
    found: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return found


def show(head: Mapping[str, Any], mutants: Sequence[dict[str, Any]], results: Path, *, as_json: bool) -> None:
    """Print the score and the survivors."""
    by_id = {mutant["id"]: mutant for mutant in mutants}
    last = {record["id"]: record for record in map(json.loads, results.read_text(encoding="utf-8").splitlines())}
    known = {(each["file"], each["before"], each["after"]): each["reason"] for each in equivalents()}
    rooms: dict[str, Counter[str]] = {}
    survivors = []
    for record in sorted(last.values(), key=lambda each: (each["file"], each["first_line"])):
        gone, come = difference(by_id[record["id"]])
        verdict = record["result"]
        if verdict in {"survived", "broken"}:
            verdict = "survived" if record["tests"] else "not run"
            reason = known.get((record["file"], "\n".join(gone), "\n".join(come)))
            if reason is not None:
                verdict = "equivalent"
            survivors.append({**record, "verdict": verdict, "before": gone, "after": come, "reason": reason})
        rooms.setdefault(record["room"], Counter())[verdict] += 1
    if as_json:
        sys.stdout.write(json.dumps({**head, "rooms": rooms, "survivors": survivors}, indent=1) + "\n")
        return
    sys.stdout.write(f"Seed {head['seed']}: {len(last)} of {head['of']} mutants.\n\n" + table(rooms))
    for each in survivors:
        sys.stdout.write(f"\n{each['file']}:{each['first_line']} {each['verdict']} ({each['tests']} tests) #{each['id']}\n")
        sys.stdout.writelines([*(f"  - {line}\n" for line in each["before"]), *(f"  + {line}\n" for line in each["after"])])
        if each["reason"]:
            sys.stdout.write(f"  {each['reason']}\n")


def table(rooms: Mapping[str, Counter[str]]) -> str:
    """The score as a table in Markdown; a mutant that runs without end counts as killed, an equivalent one does not count."""
    lines = ["| room | mutants | killed | survived | run by no test | equivalent | score |", "|---|---|---|---|---|---|---|"]
    for room, counts in [*sorted(rooms.items()), ("all", sum(rooms.values(), Counter()))]:
        killed = counts["killed"] + counts["timeout"]
        counted = counts.total() - counts["equivalent"]
        score = f"{100 * killed / counted:.1f} %" if counted else "-"
        cells = (counts.total(), killed, counts["survived"], counts["not run"], counts["equivalent"], score)
        lines.append(f"| {room} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"
