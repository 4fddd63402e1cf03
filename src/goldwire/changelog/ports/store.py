"""The store's port, whole: every protocol of this package in one object; and the part of it that a relay works with.

Engines implement it synchronously and in batches. A caller that needs one concern takes that protocol, not the store; one that
needs two or three joins them to a protocol of its own.
"""

from __future__ import annotations

from typing import Protocol

from goldwire.changelog.ports.consents import Consents
from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.ingest import Ingest
from goldwire.changelog.ports.integrity import Integrity
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.replays import Replays
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.ports.revisions import Revisions


class RelayStore(Log, Deliveries, Replays, Resyncs, Revisions, Consents, Protocol):
    """What a relay works with: the log, deliveries, replays, resyncs, revisions and consents; it ingests nothing."""

    def identity(self) -> str:
        """Return what names this store for ever, and no other one: 32 hexadecimal digits, and no secret."""
        ...


class Store(Ingest, RelayStore, Integrity, Protocol):
    """What alone holds state. One writer at a time; any number of readers.

    A store object is used from one thread at a time: it has one connection, and one transaction on it. A service with several
    threads has two ways. It lets one thread own the object and hands its calls to that thread, as the relays of `goldwire run`
    do; or each thread opens an object of its own on the same store. Objects see what others committed, and wait for one
    another to write, in one process as in several. A held target (`lock_target`) is held by one object alone.
    """

    def close(self) -> None:
        """Release everything."""
        ...
