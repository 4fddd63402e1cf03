"""Each decision (ADR) has a date, a status, the options that were rejected, and a line in the index."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "adr"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
SECTIONS = ["Context", "Options", "Decision", "Consequence"]
CHANGED_BY = {"Amended by": "Amends", "Superseded by": "Supersedes"}
STATUS = {"accepted": None, "amended": "Amended by", "superseded": "Superseded by"}


def number(page: Path) -> int:
    return int(page.name[:4])


def head(text: str) -> list[tuple[str, str]]:
    """Return the lines of a page's head: what each is called, and what it says."""
    return re.findall(r"^- \*\*([^*]+)\*\*: (.+)$", text.partition("\n## ")[0], re.MULTILINE)


def named(text: str, line: str) -> set[int]:
    """Return the numbers of the decisions to which a line of the head leads."""
    return {int(found) for name, said in head(text) if name == line for found in re.findall(r"\]\((\d{4})-", said)}


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def faults(text: str, page_number: int) -> list[str]:
    """Return what a page lacks, whatever the other pages say."""
    found, lines = [], dict(head(text))
    if not text.startswith(f"# {page_number}. "):
        found.append("the title begins with the number")
    if list(lines)[:2] != ["Date", "Status"] or set(lines) - {"Date", "Status", *CHANGED_BY, *CHANGED_BY.values()}:
        found.append("the head has date, status, and what changes what")
    try:
        date.fromisoformat(lines.get("Date", ""))
    except ValueError:
        found.append("the date is YYYY-MM-DD")
    if (status := lines.get("Status")) not in STATUS:
        found.append("the status is accepted, amended or superseded")
    elif [line for line in CHANGED_BY if line in lines] != ([wanted] if (wanted := STATUS[status]) else []):
        found.append("the head names the decision that changed this one, as its status says")
    parts = sections(text)
    if list(parts) != SECTIONS or not all(parts.values()):
        found.append(f"the sections are {SECTIONS}, each with a text")
    elif not re.search(r"^- \*\*.+\*\*\n  \S", parts["Options"], re.MULTILINE):
        found.append("an option that was rejected has its reason on the next line")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name[:4])
def test_a_decision_has_all_its_parts(page: Path) -> None:
    assert faults(page.read_text(encoding="utf-8"), number(page)) == []


def test_the_template_has_all_parts_of_a_decision() -> None:
    text = (FOLDER / "template.md").read_text(encoding="utf-8")
    filled = text.replace("# N. ", "# 1. ").replace("YYYY-MM-DD", "2026-11-27")
    assert filled != text
    assert faults(re.sub(r"<!--.*?-->\n", "", filled, flags=re.DOTALL), 1) == []


@pytest.mark.parametrize(("there", "instead"), [
    ("# 3. ", "# 4. "),
    ("2026-11-23", "yesterday"),
    ("**Status**: accepted", "**Status**: amended"),
    ("**Status**: accepted", "**Status**: accepted\n- **Amended by**: [4](0004-a.md): all"),
    ("**Status**: accepted", "**Status**: rejected"),
    ("## Options", "## Choices"),
    ("**\n  ", "** "),
])  # fmt: skip
def test_a_decision_that_lacks_a_part_is_found(there: str, instead: str) -> None:
    (page,) = (page for page in PAGES if number(page) == 3)
    text = page.read_text(encoding="utf-8")
    assert there in text
    assert faults(text.replace(there, instead), 3) != []


@pytest.mark.parametrize(("later_line", "earlier_line"), [(later, earlier) for earlier, later in CHANGED_BY.items()])
def test_of_two_decisions_of_which_one_changes_the_other_each_names_the_other(later_line: str, earlier_line: str) -> None:
    texts = {number(page): page.read_text(encoding="utf-8") for page in PAGES}
    changes = {(later, earlier) for later, text in texts.items() for earlier in named(text, later_line)}
    assert changes == {(later, earlier) for earlier, text in texts.items() for later in named(text, earlier_line)}
    assert all(later > earlier for later, earlier in changes)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name[:4])
def test_the_index_lists_a_decision_with_its_status(page: Path) -> None:
    (line,) = (line for line in INDEX.splitlines() if f"({page.name})" in line)
    text = page.read_text(encoding="utf-8")
    changed_by = sorted({later for earlier in CHANGED_BY for later in named(text, earlier)})
    status = dict(head(text))["Status"]
    wanted = f"{status} by {', '.join(map(str, changed_by))}" if changed_by else status
    assert line.split(" | ")[-1].rstrip(" |") == wanted


def test_the_index_is_in_order_and_lists_nothing_else() -> None:
    listed = re.findall(r"^\| \[(\d+)\]\((\d{4}-[^)]+)\)", INDEX, re.MULTILINE)
    assert listed == [(str(number(page)), page.name) for page in PAGES]
