"""A record of which a batch brought something, and what of that matters to its identity."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire.mastering.record import Record

OWN_PREFIX = "goldwire:entity:"
"""Ids that Goldwire makes begin so; all others come from an upstream hub."""


class Arrival:
    """A record whose identity must be looked at again.

    Args:
        record: as it is now, with all that the batch says of it.
        gained: for each match rule the key that the record did not have before.
        hub_id: the golden record's id by the newest word of an upstream hub, if one spoke of it in this batch; else empty.
    """

    __slots__ = ("gained", "hub_id", "record")

    def __init__(self, record: Record, gained: Sequence[bytes | None], hub_id: str) -> None:
        self.record = record
        self.gained = gained
        self.hub_id = hub_id


def is_of_hub(entity_id: str) -> bool:
    """Return whether an upstream hub gave this id, rather than Goldwire."""
    return not entity_id.startswith(OWN_PREFIX)
