"""Markdown is written one sentence a line, so that a change of one sentence shows as a change of one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in ("docs", "examples", "src") for path in (ROOT / folder).rglob("*.md"))
PAGES += sorted(ROOT.glob("*.md"))

FENCED = re.compile(r"^ *(```+|~~~+)[^\n]*\n.*?^ *\1 *$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
ATOM = re.compile(r"`[^`]+`|!?\[[^\[\]]*\]\([^)\s]*\)")
ABBREVIATION = re.compile(r"\b(e\.g|i\.e|vs|cf|Nr|No|etc|approx|ca|incl)\.(?!\w)", re.IGNORECASE)
LIST_ITEM = re.compile(r"^\s*([-*+]|\d+[.)])\s+")
NO_PROSE = re.compile(r"^\s*(\||#{1,6} |<|$)")
CLOSERS = r"[)\"'*_]*"
TWO_SENTENCES = re.compile(rf"[.!?]{CLOSERS}\s+[(\"'*_]*[A-Z]")
END = re.compile(rf"[.!?:]{CLOSERS}\s*$")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blanked(text: str) -> str:
    """Take out what is no prose and keep the numbers of the lines."""
    for pattern in (FENCED, COMMENT):
        text = pattern.sub(lambda found: "\n" * found[0].count("\n"), text)
    return text


def faults(text: str) -> Iterator[str]:
    """Yield each line that holds two sentences, or that breaks one off."""
    lines = [ATOM.sub("A", ABBREVIATION.sub("so", line)) for line in blanked(text).splitlines()]
    for number, line in enumerate(lines, 1):
        if NO_PROSE.match(line):
            continue
        plain = LIST_ITEM.sub("", line)
        after = lines[number] if number < len(lines) else ""
        goes_on = not NO_PROSE.match(after) and not LIST_ITEM.match(after)
        if TWO_SENTENCES.search(plain):
            yield f"line {number} holds two sentences: {line.strip()}"
        if goes_on and not END.search(plain):
            yield f"line {number} breaks a sentence off: {line.strip()}"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_a_line_of_a_paragraph_holds_one_sentence(page: Path) -> None:
    assert list(faults(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "One sentence. And another.",
        "- An item. `code` begins the second.",
        "*It ends.* [A link](b.md) begins the second.",
        "A sentence that goes on\nin the next line.",
        "1. An item that goes on\n   in the next line.",
    ],
)
def test_a_line_with_another_shape_is_found(text: str) -> None:
    assert list(faults(text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "One sentence.\nAnd another.",
        "E.g. Version 1.2 of `a. B`, i.e. The one.",
        "# A heading. With two\n\n| a. B | c. D |\n|---|---|",
        "```\nCode. Code\nmore\n```\n\nThe text:\n- an item\n- an item\n",
    ],
)
def test_a_line_in_shape_is_left_alone(text: str) -> None:
    assert list(faults(text)) == []
