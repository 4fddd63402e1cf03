"""Reads how far consumer groups of an Event Hub are, where subscribers keep it: the kit's tables, or blobs of the Azure SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from goldwire.errors import ConfigError
from goldwire.targets.clients.extras import require
from goldwire.targets.settings import origin_of
from goldwire.targets.sql.address import family_of

_TABLE = "goldwire_checkpoint"
"""Where `goldwire-consumer` keeps checkpoints: the columns `source`, `partition_id` and `sequence` (its `store.sql.TABLES`)."""

Positions = Mapping[str, int]
"""By partition, the sequence number of the last event that was processed."""


class Checkpoints(Protocol):
    """A place where checkpoints are."""

    async def positions(self, namespace: str, hub: str, consumer_group: str) -> Positions:
        """Return the checkpoints of one consumer group; a partition that has none is left out.

        Raises:
            ConfigError: nothing of the kind is there.
            OSError: not reachable now.
        """
        ...


def checkpoints_at(name: str, url: str, new_credential: Any) -> Checkpoints:
    """Return what reads checkpoints at an address.

    Args:
        name: the target's.
        url: of a database, or of a container of blobs.
        new_credential: makes what authenticates to blobs, where the address has no token of its own.

    Raises:
        ConfigError: a package is not installed.
    """
    what = f"target '{name}': subscribers: checkpoints at {origin_of(url)}"
    if family_of(url) in {"http", "https"}:
        return _Blobs(what, url, new_credential)
    return _Tables(what, url)


class _Tables:
    """The tables of a store of the kit."""

    def __init__(self, what: str, url: str) -> None:
        self._what = what
        self._url = url

    async def positions(self, namespace: str, hub: str, consumer_group: str) -> Positions:
        """Return the checkpoints of one consumer group."""
        # The kit writes the three as one name in lower case, since Azure does not tell cases apart.
        return await asyncio.to_thread(self._read, f"{namespace}/{hub}/{consumer_group}".lower())

    def _read(self, source: str) -> Positions:
        from sqlalchemy import column, create_engine, select, table  # noqa: PLC0415 - it takes 0.2 s to import
        from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError  # noqa: PLC0415
        from sqlalchemy.pool import NullPool  # noqa: PLC0415

        kept = table(_TABLE, column("source"), column("partition_id"), column("sequence"))
        wanted = select(kept.c.partition_id, kept.c.sequence).where(kept.c.source == source)
        try:
            engine = create_engine(_read_only(self._url), poolclass=NullPool)
            with engine.connect() as connection:
                return {str(partition): int(sequence) for partition, sequence in connection.execute(wanted)}
        except (ArgumentError, ModuleNotFoundError):
            raise ConfigError(
                f"{self._what}: no database of this kind can be read; write sqlite:///… or postgresql://…"
            ) from None
        except OperationalError as error:
            if "no such table" in str(error.orig):
                raise ConfigError(f"{self._what}: {_NO_TABLE}") from None
            raise ConnectionError(f"{self._what}: cannot be read ({type(error.orig).__name__})") from None
        except SQLAlchemyError as error:
            if "UndefinedTable" in type(getattr(error, "orig", None)).__name__:
                raise ConfigError(f"{self._what}: {_NO_TABLE}") from None
            raise ConnectionError(f"{self._what}: cannot be read ({type(error).__name__})") from None


_NO_TABLE = f"there is no table {_TABLE}; name the database of a subscriber that is built with goldwire-consumer"


def _read_only(url: str) -> str:
    """Return the address so that a file which is not there is not made, and an unqualified PostgreSQL takes our driver."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and "?" not in rest:
        return f"sqlite:///file:{rest.removeprefix('/')}?mode=ro&uri=true"
    return f"postgresql+psycopg://{rest}" if scheme in {"postgresql", "postgres"} else url


class _Blobs:
    """A container of blobs, read by the SDK's own store."""

    def __init__(self, what: str, url: str, new_credential: Any) -> None:
        self._what = what
        self._parts = urlsplit(url)
        self._new_credential = new_credential
        self._sdk: Any = require("azure.eventhub.extensions.checkpointstoreblob", extra="checkpoints", used_by=what)

    async def positions(self, namespace: str, hub: str, consumer_group: str) -> Positions:
        """Return the checkpoints of one consumer group."""
        try:
            return await asyncio.to_thread(self._read, namespace, hub, consumer_group)
        except Exception as error:  # noqa: BLE001 - of the SDK, its credential or the system
            names = {kind.__name__ for kind in type(error).__mro__}
            if names & {"ResourceNotFoundError", "ClientAuthenticationError", "ValueError"}:
                text = "cannot be read; mend the address, or grant Storage Blob Data Reader"
                raise ConfigError(f"{self._what}: {text} ({type(error).__name__})") from None
            raise ConnectionError(f"{self._what}: cannot be read ({type(error).__name__})") from None

    def _read(self, namespace: str, hub: str, consumer_group: str) -> Positions:
        account, _, container = self._parts.path.strip("/").rpartition("/")
        address = f"{self._parts.scheme}://{self._parts.netloc}/{account}"
        credential = self._parts.query or self._new_credential()
        with self._sdk.BlobCheckpointStore(address, container, credential=credential, retry_total=0) as store:
            found = store.list_checkpoints(namespace, hub, consumer_group)
            return {one["partition_id"]: one["sequence_number"] for one in found if one["sequence_number"] is not None}
