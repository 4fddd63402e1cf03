"""Makes the events again that a target was sent of one entity, from the log alone, and proves them by the last one's hash.

Each hash covers the hash before it. So when the last one is that of the control row, all before it are what was sent, byte for
byte. What this does not confirm counts as missing (docs/adr/0040).
"""

from __future__ import annotations

from typing import NamedTuple

from goldwire.changelog.replays import Past
from goldwire.changelog.rows import DELIVERED, Control, LogRow
from goldwire.errors import ConfigError
from goldwire.event.seal import seal, seal_again
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.retry_policy import settled
from goldwire.targets.base import DELIVERED as TAKEN


class Sent(NamedTuple):
    """One event as it was sent."""

    row: LogRow
    event: SealedEvent
    revision: int
    """The contract revision that sealed it."""


def rebuild(past: Past, contracts: ContractRevisions, after: int) -> list[Sent] | None:
    """Return what was sent of an entity above a position, oldest first.

    Args:
        past: all that ended of the entity, from its first change on.
        contracts: the target's contracts.
        after: earlier events are sealed for the proof, and not returned.

    Returns:
        None where the proof fails: codes were withdrawn by a rewind, or a key of a mask is another by now.
    """
    held: Control | None = None
    base_state: bytes | None = None
    sent: list[Sent] = []
    try:
        for row, code, revision in past.fates:
            contract = contracts.at(row.seq) if revision is None else contracts.revision(revision)
            sealed = seal(contract, row, held, base_state)
            if isinstance(sealed, SealedEvent) != (code == DELIVERED):
                return None
            if isinstance(sealed, SealedEvent):
                held, base_state = settled(row, sealed, TAKEN, contract.revision, held, ""), row.state
                if row.seq > after:
                    sent.append(Sent(row, sealed, contract.revision))
            elif held is not None:
                held = held._replace(presence=sealed)
    except (ConfigError, EvaluationError):  # a key is gone, or a `where` has no result, which once counted as false
        return None
    confirmed = held is not None and past.control is not None and held.hash == past.control.hash
    return sent if confirmed else None


def rebuild_newest(control: Control, row: LogRow, base: LogRow | None, contracts: ContractRevisions) -> Sent | None:
    """Return the event that was sent last of an entity, from its control row; None where its hash is another.

    Args:
        control: the control row.
        row: the change at its version.
        base: the change at its `base_version`, None when that is None.
        contracts: the target's contracts.
    """
    try:
        sealed = seal_again(contracts.revision(control.revision), row, control, None if base is None else base.state)
    except ConfigError:
        return None
    if isinstance(sealed, SealedEvent) and sealed.hash == control.hash:
        return Sent(row, sealed, control.revision)
    return None
