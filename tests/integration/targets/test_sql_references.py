"""Rows that refer to each other: what a foreign key refuses while others are on their way is no dead letter yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Outcome, Unavailable
from goldwire.testing.events import deleted, sealed
from support.sql_table import Table


@pytest.fixture
def commits() -> Iterator[list[None]]:
    """Counts the commits of every target."""
    found: list[None] = []

    def count(_connection: Any) -> None:
        found.append(None)

    sa.event.listen(Engine, "commit", count)
    yield found
    sa.event.remove(Engine, "commit", count)


def tree(database: Any, deferred: str = "", **settings: Any) -> Table:
    """Return a target on a table whose rows refer to their parents."""
    table = Table(database, columns={"parent": "parent"}, key="entity_id", **settings)
    text = "VARCHAR(80) COLLATE utf8mb4_bin" if database.url.startswith("mariadb") else "TEXT"
    database.query(
        f"CREATE TABLE {table.full} (id {text} PRIMARY KEY, parent {text}, goldwire_entity_id {text}, "
        f"goldwire_version BIGINT, goldwire_timestamp {text}, goldwire_deleted BOOLEAN, goldwire_hash {text}, "
        f"FOREIGN KEY (parent) REFERENCES {table.full} (id) {deferred})"
    )
    return table


def child(entity: str, parent: str | None, version: int = 1) -> SealedEvent:
    return sealed(entity, version, {"parent": parent})


def is_tried_again(outcome: Outcome) -> bool:
    return isinstance(outcome, Unavailable) and outcome.counted and "a row that it refers to is missing" in outcome.reason


DEFERRED = "DEFERRABLE INITIALLY DEFERRED"


def test_a_thousand_rows_of_which_one_fails_at_the_commit_cost_few_transactions(postgresql: Any, commits: list[None]) -> None:
    table = tree(postgresql, DEFERRED)
    outcomes = table.send(*(child(f"e{n}", "nowhere" if n == 700 else None) for n in range(1000)))
    assert is_tried_again(outcomes[700])
    assert set(outcomes[:700] + outcomes[701:]) == {Delivered(f"e{n}") for n in range(1000) if n != 700}
    assert len(commits) < 40


def test_rows_that_need_each_other_are_written_together_beside_one_that_fails(postgresql: Any) -> None:
    table = tree(postgresql, DEFERRED)
    outcomes = table.send(child("left", "right"), child("bad", "nowhere"), child("right", "left"))
    assert [outcomes[0], outcomes[2]] == [Delivered("left"), Delivered("right")]
    assert is_tried_again(outcomes[1])
    assert is_tried_again(table.send(child("bad", "nowhere"))[0])
    assert table.send(child("nowhere", None), child("bad", "nowhere")) == [Delivered("nowhere"), Delivered("bad")]


def test_a_whole_tree_is_written_but_for_the_branch_that_leads_nowhere(postgresql: Any, commits: list[None]) -> None:
    table = tree(postgresql, DEFERRED)
    events = [child(f"e{n}", None if n == 1 else f"e{n // 2}") for n in range(255, 0, -1)]
    events[255 - 40] = child("e40", "nowhere")
    outcomes = table.send(*events)
    failed = {event.entity_id for event, one in zip(events, outcomes, strict=True) if not isinstance(one, Delivered)}
    assert failed == {"e40", "e80", "e81", "e160", "e161", "e162", "e163"}
    assert all(is_tried_again(one) for one in outcomes if not isinstance(one, Delivered))
    assert len(commits) < 80


def test_versions_of_one_record_keep_their_order_when_a_send_is_divided(postgresql: Any) -> None:
    table = tree(postgresql, DEFERRED)
    outcomes = table.send(child("a", None), child("bad", "nowhere"), sealed("a", 2, {"parent": "a"}, base_version=1))
    assert [outcomes[0], outcomes[2]] == [Delivered("a"), Delivered("a")]
    assert postgresql.query(f"SELECT id, parent, goldwire_version FROM {table.full}") == [("a", "a", 2)]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_child_that_comes_before_its_parent_is_tried_again(request: pytest.FixtureRequest, server: str) -> None:
    table = tree(request.getfixturevalue(server))
    outcomes = table.send(child("child", "parent"), child("parent", None), child("bad", "nowhere"))
    assert outcomes[1] == Delivered("parent")
    assert is_tried_again(outcomes[2])
    if outcomes[0] != Delivered("child"):
        assert is_tried_again(outcomes[0])
        assert table.send(child("child", "parent")) == [Delivered("child")]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_child_whose_parent_comes_with_a_later_send_is_tried_again(request: pytest.FixtureRequest, server: str) -> None:
    table = tree(request.getfixturevalue(server))
    assert is_tried_again(table.send(child("child", "parent"))[0])
    assert table.send(child("parent", None)) == [Delivered("parent")]
    assert table.send(child("child", "parent")) == [Delivered("child")]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_parent_that_goes_before_its_child_is_tried_again(request: pytest.FixtureRequest, server: str) -> None:
    table = tree(request.getfixturevalue(server), delete="physical")
    table.send(child("parent", None))
    table.send(child("child", "parent"))
    outcomes = table.send(deleted("parent", 2), sealed("child", 2, {"parent": "child"}))
    assert outcomes[1] == Delivered("child")
    if outcomes[0] != Delivered():
        assert isinstance(outcomes[0], Unavailable)
        assert outcomes[0].counted
    assert table.send(deleted("parent", 3)) == [Delivered()]
