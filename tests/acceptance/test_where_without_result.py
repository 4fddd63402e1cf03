"""A `where` that cannot be evaluated takes nothing away: refused where it never can be, else the record is held back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

CONFIG = """\
store: {path: store.db}
types: {Customer: {attributes: {name: {}, city: {}, score: {}}}}
sources: {crm: {system: crm, type: Customer, id: id}}
contracts: {w: {golden: false, deselect: true}}
targets:
  l:
    kind: sql
    contract: w
    settings:
      {url: "sqlite:///l.db", table: t, create_table: true, delete: physical, columns: {name: name, city: city, score: score}}
"""


@pytest.fixture
def live(shell: Any) -> Any:
    """A table with three rows."""
    shell.write("goldwire.yaml", CONFIG)
    shell.run("apply")
    facts(shell, "a", 5)
    return shell


def facts(shell: Any, city: str, *scores: Any) -> None:
    """Ingest three records; one score is that of all."""
    of_each = scores if len(scores) == 3 else scores * 3
    lines = [
        f'{{"system":"crm","externalId":"{number}","entityType":"Customer",'
        f'"attributes":{{"name":"ok","city":"{city}","score":{score}}}}}\n'
        for number, score in enumerate(of_each, start=1)
    ]
    shell.write("in.jsonl", "".join(lines))
    shell.run("ingest", "in.jsonl")
    shell.run("run", "--until-caught-up")


def rows(shell: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(shell.folder / "l.db")) as connection:
        return connection.execute("SELECT city, score FROM t ORDER BY city, score").fetchall()


def test_a_pattern_that_is_none_is_refused_by_apply_and_nothing_is_deleted(live: Any) -> None:
    live.edit("deselect: true", "deselect: true, where: 'a.name.matches(\"^(ok\")'")
    for words in (("apply", "--check"), ("apply",)):
        assert "never has a result" in live.fails(*words, code=2)
    facts(live, "b", 6)
    assert rows(live) == [("b", "6")] * 3


def test_a_record_without_a_result_keeps_its_row_and_is_a_dead_letter(live: Any) -> None:
    live.edit("deselect: true", "deselect: true, where: 'a.score > 4.0'")
    live.run("apply")
    facts(live, "b", 7, '"many"', 3)
    assert rows(live) == [("a", "5"), ("b", "7")]
    [letter] = live.json("dead", "list", "l")
    assert "`where` has no result" in letter["reason"]
    assert "many" not in letter["reason"]
    facts(live, "c", 7, 8, 3)
    assert rows(live) == [("a", "5"), ("c", "7")], "what follows waits behind the letter"
    live.run("dead", "discard", "l", str(letter["seq"]), "--yes")
    live.run("run", "--until-caught-up")
    assert rows(live) == [("c", "7"), ("c", "8")]
    assert live.json("ledger", "--recount")[0]["balanced"]


def test_apply_counts_what_a_new_where_cannot_decide_and_leaves_it_alone(live: Any) -> None:
    facts(live, "b", 7, '"many"', 3)
    live.edit("deselect: true", "deselect: true, where: 'a.score > 4.0'")
    effects = live.json("apply")["targets"][0]["effects"]
    assert (effects["undecided"], effects["leaves"], effects["same"]) == (1, 1, 1)
    live.run("run", "--until-caught-up")
    assert rows(live) == [("b", "7"), ("b", "many")]
