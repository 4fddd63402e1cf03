"""Which code may use a store of which schema: the rule that every engine asks at opening and in each transaction (ADR 43)."""

from __future__ import annotations

from typing import NamedTuple

from goldwire.changelog.migrations import NEWEST, REVISIONS
from goldwire.errors import InputError, StoreCorruptError


class SchemaState(NamedTuple):
    """What a store says of its own schema."""

    revision: str
    oldest_code: str | None
    """The oldest schema revision whose code may use the store; None: it is from before a store said so."""


class Upgrade(NamedTuple):
    """What became of a store that was brought to this Goldwire's schema."""

    before: str
    """Its schema revision until then."""
    after: str
    oldest_code: str
    """The oldest schema revision whose code may use it from now on."""


def check_schema(path: str, state: SchemaState) -> None:
    """See that this code may use a store.

    Args:
        path: of the store, for the error.
        state: what the store says.

    Raises:
        InputError: the store is older, or newer and not for this code any more.
    """
    if state.revision == NEWEST:
        return
    if state.revision in REVISIONS:
        raise InputError(
            f"{path}: written by an older Goldwire (schema {state.revision}, this one has {NEWEST}): stop every relay, copy "
            "the store, then run `goldwire store upgrade`"
        )
    if state.oldest_code is None or state.oldest_code > NEWEST:
        raise refused(path, state)


def refused(path: str, state: SchemaState) -> InputError:
    """Return the error for code that may not use a newer store."""
    oldest = state.oldest_code or state.revision
    return InputError(
        f"{path}: written by a newer Goldwire (schema {state.revision}, for code of schema {oldest} and newer; this one has "
        f"{NEWEST}): upgrade Goldwire"
    )


def lost(path: str) -> StoreCorruptError:
    """Return the error for a store that does not say any more which code may use it."""
    return StoreCorruptError(
        f"{path}: the row that says which schema it has, or which code may use it, is missing: restore a copy of the store"
    )
