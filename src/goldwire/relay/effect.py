"""What a revision of a contract does to what the target holds of one entity: judged by sealing one row under both."""

from __future__ import annotations

from typing import Literal

from goldwire.changelog.rows import Control, LogRow
from goldwire.contract.compiled import CompiledContract
from goldwire.errors import ConfigError
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError

Effect = Literal["same", "changes", "enters", "leaves", "stays", "undecided"]
"""`changes`: the target would receive another event of it; `enters`: it holds nothing and would receive one; `leaves`: it would
receive a deletion; `stays`: it is selected no more, and the contract sends no deletion for that; `undecided`: the contract's
`where` has no result for it, so it stays as it is."""


def effect(before: CompiledContract | None, after: CompiledContract, row: LogRow, held: Control | None) -> Effect:
    """Return what a revision does to one entity.

    Args:
        before: the revision that sealed what the target holds; None: whatever was sent counts as different.
        after: the revision in question.
        row: the entity's newest row. Both revisions are asked about the same row, so what it changed itself does not count.
        held: what the target was last sent of the entity, or None.

    Raises:
        ConfigError: a key that `after` masks with is not the one that it was applied with.
    """
    try:
        fresh = seal(after, row, held, None)
    except EvaluationError:
        return "undecided"
    is_held = held is not None and held.presence == "in"
    if not isinstance(fresh, SealedEvent):
        return "stays" if is_held and fresh == "out" else "same"
    if fresh.deleted:
        return "leaves" if held is not None else "same"
    if not is_held:
        return "enters"
    return "same" if before is not None and _alike(_sealed(before, row, held), fresh) else "changes"


def _sealed(contract: CompiledContract, row: LogRow, held: Control | None) -> object:
    try:
        return seal(contract, row, held, None)
    except (ConfigError, EvaluationError):  # a key of its masks is gone, so what was sent is not known any more
        return None


def _alike(sent: object, fresh: SealedEvent) -> bool:
    return (
        isinstance(sent, SealedEvent)
        and sent.hash == fresh.hash
        and (sent.classification, sent.retention_days) == (fresh.classification, fresh.retention_days)
    )
