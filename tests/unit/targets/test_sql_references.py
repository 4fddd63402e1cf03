"""A send is divided so that records that refer to each other stay together."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from sqlalchemy.exc import DBAPIError

from goldwire.targets.base import Unavailable
from goldwire.targets.sql.change import EdgeEnd, RowChange
from goldwire.targets.sql.references import halves
from goldwire.targets.sql.table_writer import refusal


def change(entity: str, *refers_to: str, key: str | None = None, edges: tuple[str, ...] = (), version: int = 1) -> RowChange:
    own = key or entity
    return RowChange(
        entity_id=entity,
        version=version,
        timestamp="",
        hash="",
        deleted=False,
        erased=False,
        key=own,
        candidates=(own,),
        values=dict(enumerate(refers_to)),  # type: ignore[arg-type] - the names of the columns do not matter
        base_version=None,
        edges=tuple(EdgeEnd("knows", "", to) for to in edges),
    )


def parts(*changes: RowChange) -> tuple[list[int], list[int]]:
    given: Mapping[int, RowChange] = dict(enumerate(changes))
    first, second = halves(given)
    assert sorted(first + second) == list(given)
    return first, second


def test_what_refers_to_nothing_is_halved_in_its_order() -> None:
    assert parts(change("a"), change("b"), change("c"), change("d")) == ([0, 1], [2, 3])


def test_what_refers_to_each_other_stays_together_by_values_keys_and_edges() -> None:
    assert parts(change("a", "c"), change("b"), change("c")) == ([0, 2], [1])
    assert parts(change("a", "K9"), change("b"), change("c", key="K9")) == ([0, 2], [1])
    assert parts(change("a", edges=("c",)), change("b"), change("c")) == ([0, 2], [1])
    assert parts(change("a", key="K"), change("b"), change("c", key="K")) == ([0, 2], [1])


def test_what_is_referred_to_comes_first_where_all_are_linked() -> None:
    assert parts(change("leaf", "branch"), change("branch", "root"), change("root")) == ([2], [0, 1])
    assert parts(change("d", "c"), change("c", "b"), change("b", "a"), change("a")) == ([2, 3], [0, 1])


def test_versions_of_one_entity_are_parted_last_and_in_their_order() -> None:
    assert parts(change("a"), change("b", "a"), change("a", "b", version=2)) in [([0, 2], [1]), ([1], [0, 2])]
    assert parts(change("a"), change("a", version=2), change("a", version=3)) == ([0], [1, 2])


def test_what_a_foreign_key_of_sqlite_refuses_is_tried_again() -> None:
    cause = sqlite3.IntegrityError("FOREIGN KEY constraint failed")
    error = DBAPIError.instance("", None, cause, sqlite3.Error)
    assert isinstance(error, DBAPIError)
    assert refusal(error) == Unavailable("the database refuses the row: FOREIGN KEY constraint", counted=True)
