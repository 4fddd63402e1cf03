"""Connections by thread: each thread its own, and none that outlives its thread for long."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest

from goldwire_consumer.store.threads import ThreadConnections


@pytest.fixture
def opened() -> list[sqlite3.Connection]:
    return []


@pytest.fixture
def connections(opened: list[sqlite3.Connection]) -> Iterator[ThreadConnections[sqlite3.Connection]]:
    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(":memory:", check_same_thread=False))
        return opened[-1]

    found = ThreadConnections(connect, sound=is_open)
    yield found
    found.close()


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_thread_keeps_its_connection_and_shares_it_with_none(
    connections: ThreadConnections[sqlite3.Connection], opened: list[sqlite3.Connection]
) -> None:
    mine = connections.own()
    others: list[sqlite3.Connection] = []
    in_a_thread(lambda: others.extend([connections.own(), connections.own()]))
    assert connections.own() is mine
    assert others == [opened[1], opened[1]]


def test_connections_of_threads_that_ended_are_closed_when_another_is_opened(
    connections: ThreadConnections[sqlite3.Connection], opened: list[sqlite3.Connection]
) -> None:
    mine = connections.own()
    for _ in range(5):
        in_a_thread(connections.own)
    assert [is_open(one) for one in opened] == [True, *[False] * 4, True]
    assert connections.own() is mine


def test_a_connection_that_broke_is_replaced_and_all_are_closed_at_the_end(
    connections: ThreadConnections[sqlite3.Connection], opened: list[sqlite3.Connection]
) -> None:
    connections.own().close()
    assert is_open(connections.own())
    in_a_thread(connections.own)
    connections.close()
    assert [is_open(one) for one in opened] == [False] * 3
    assert is_open(connections.own())
