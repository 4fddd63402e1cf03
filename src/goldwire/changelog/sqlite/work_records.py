"""Reads the records of replays and resyncs, as they stand in their tables."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from goldwire.changelog.replays import Replay
from goldwire.changelog.resyncs import Resync
from goldwire.errors import StoreCorruptError

Record = TypeVar("Record")

encode_record = msgspec.json.Encoder().encode


class WorkRecords(Generic[Record]):
    """The records of one kind.

    Args:
        word: what one of them is of.
        kind: its type.
    """

    def __init__(self, word: str, kind: type[Record]) -> None:
        self.word = word
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, path: str, record_id: str, raw: bytes) -> Record:
        """Return a record.

        Args:
            path: of the store, for the error.
            record_id: its id.
            raw: the record as it was kept.

        Raises:
            StoreCorruptError: it is not what was written.
        """
        try:
            return self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreCorruptError(
                f"{path}: the record of {self.word} {record_id} is not what was written; `goldwire store check` lists all that "
                "is damaged, then restore a copy of the store"
            ) from error


REPLAY_RECORDS = WorkRecords("replay", Replay)
RESYNC_RECORDS = WorkRecords("resync", Resync)
