"""The checksums of log rows, control rows and records: a read that meets a changed row stops (docs/adr/0041).

A checksum is the CRC-32 of the row's MessagePack form, whose bytes are the same on every machine and version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from msgspec.msgpack import Encoder

from goldwire.changelog.rows import LogRow
from goldwire.errors import StoreCorruptError

_encode = Encoder().encode
_ADDRESS = LogRow._fields.index("addressed_to")


def log_checksum(row: Sequence[Any], entity_no: int) -> int:
    """Return the checksum of a row of the log.

    Args:
        row: the fields of `LogRow`, in their order.
        entity_no: the entity's short number, which stands beside them in the table.
    """
    # A row for all targets has the checksum that it had before rows could be addressed to one.
    return crc32(_encode(row[:_ADDRESS] if len(row) > _ADDRESS and row[_ADDRESS] is None else row), entity_no)


def control_checksum(row: Sequence[Any]) -> int:
    """Return the checksum of a control row: its slot, then the fields of `Control` without the entity's id."""
    return crc32(_encode(row))


def record_checksum(row: Sequence[Any]) -> int:
    """Return the checksum of a record: its number, system, id, entity's number, type, body and match keys."""
    return crc32(_encode(row))


def damaged_log_row(path: str, seq: object, entity_id: object, version: object) -> StoreCorruptError:
    """Return the error that names a row of the log which is not what was written."""
    return StoreCorruptError(f"{path}: position {seq} of the log (entity {entity_id}, version {version}): {_DAMAGED}")


def damaged_control_row(path: str, target: object, entity_id: object) -> StoreCorruptError:
    """Return the error that names a control row which is not what was written."""
    return StoreCorruptError(f"{path}: the control row of target {target} for entity {entity_id}: {_DAMAGED}")


def damaged_record(path: str, system: object, external_id: object) -> StoreCorruptError:
    """Return the error that names a record which is not what was written."""
    return StoreCorruptError(f"{path}: record {system}/{external_id}: {_DAMAGED}")


_DAMAGED = (
    "its checksum does not fit, so the row is not what was written; `goldwire store check` lists all that is damaged, then "
    "restore a copy of the store"
)
