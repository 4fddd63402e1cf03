"""What the store keeps of guards: how far a person let a target go, and what the target holds."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class Consent(Struct, frozen=True):
    """A person's yes: what was committed up to a position may go to the target, however much leaves it or changes."""

    upto: int
    """The newest position of the log when it was given."""
    given_by: str
    given_at: str
    why: str = ""


class Holdings(NamedTuple):
    """What a target holds, by its control rows."""

    held: int
    """Records that were sent and not deleted."""
    removed: int
    """Deletions that it was sent since a moment, those that a resync sent and those that a consent covers left out."""
