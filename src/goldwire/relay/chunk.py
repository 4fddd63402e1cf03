"""One chunk of the log on its way to one target: sealed, sent in waves, and gathered into one settlement.

A wave holds at most one event of an entity, so a lane has one event in flight. What a wave could not deliver is opened: it
goes on by itself (`goldwire.relay.lanes`) while the stream moves on; later rows of that entity wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from goldwire.changelog.rows import DELIVERED, FILTERED, OPEN, SUPERSEDED, Control, LogRow, OpenDelivery, Settlement
from goldwire.clock import timestamp
from goldwire.contract.compiled import CompiledContract
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError
from goldwire.relay.retry_policy import RetryPolicy, first_attempt, settled
from goldwire.relay.sender import Sender
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome

Bases = Mapping[str, bytes]
"""Entity id to the golden state that its next delta is made against."""


def wants_base(contract: CompiledContract, held: Control | None) -> bool:
    """Return whether the next event of an entity may be a delta, which needs the state at the held version."""
    return contract.delta and held is not None and held.presence == "in" and held.revision == contract.revision


def no_result(error: EvaluationError) -> str:
    """Return why a delivery is held back whose contract cannot say whether it selects the record."""
    return f"the contract's `where` has no result for this record: {error}; mend the record or the expression, then redrive it"


class Chunk:
    """The work on the positions (after, upto] of the log.

    Args:
        rows: the log rows in order; positions without a row are superseded.
        controls: what the target holds of their entities, and
        lanes: which of these have open deliveries.
        contract: seals all of these positions.
        unclear_upto: positions up to here may have been sent by a relay that ended before it could settle them.
    """

    def __init__(
        self,
        after: int,
        upto: int,
        rows: Sequence[LogRow],
        controls: dict[str, Control],
        lanes: Mapping[str, Sequence[OpenDelivery]],
        contract: CompiledContract,
        unclear_upto: int = 0,
    ) -> None:
        self._after = after
        self._upto = upto
        self.rows = rows
        self._contract = contract
        self._unclear_upto = unclear_upto
        self._held = controls
        self._moved: dict[str, Control] = {}
        self._blocked = {entity_id: lane[0].state == "dead" for entity_id, lane in lanes.items()}
        self._codes = bytearray(bytes([SUPERSEDED]) * (upto - after))
        self._opened: list[OpenDelivery] = []
        self.taken: list[LogRow] = []
        """What the target took."""

    def hold(self, entity_ids: Collection[str]) -> None:
        """Let later changes of these entities wait: they are under replay."""
        for entity_id in entity_ids:
            self._blocked.setdefault(entity_id, False)

    def wanted_bases(self, rows: Sequence[LogRow]) -> list[tuple[str, int]]:
        """Return (entity id, version) of the states that deltas of these rows are made against."""
        contract = self._contract
        wanted = []
        for row in rows:
            held = self._held.get(row.entity_id)
            if held is not None and wants_base(contract, held):
                wanted.append((row.entity_id, held.version))
        return wanted

    def wave(self, rows: Sequence[LogRow], bases: Bases, policy: RetryPolicy) -> tuple[list[LogRow], list[Item], list[LogRow]]:
        """Seal the first event of each entity; hold back one for which the contract's `where` has no result.

        Returns:
            rows to send with their items, and the rows that have to wait for a later wave.
        """
        contract, held_by, codes, offset = self._contract, self._held, self._codes, self._after + 1
        sending: list[LogRow] = []
        items: list[Item] = []
        later: list[LogRow] = []
        in_flight: set[str] = set()
        for row in rows:
            entity_id = row.entity_id
            if entity_id in in_flight:
                later.append(row)
                continue
            if not row.concerns(contract.target):
                codes[row.seq - offset] = FILTERED
                continue
            if entity_id in self._blocked:
                self._wait_behind(row)
                continue
            held = held_by.get(entity_id)
            if held is not None and row.version <= held.version:
                continue  # the fence: the target already took this version or a newer one
            try:
                sealed = seal(contract, row, held, bases.get(entity_id))
            except EvaluationError as error:
                self._open(policy.hold_back(self._first_attempt(row), no_result(error)))
                continue
            if isinstance(sealed, SealedEvent):
                in_flight.add(entity_id)
                sending.append(row)
                items.append(Item(sealed, held.remote_id if held is not None else None))
            else:
                codes[row.seq - offset] = FILTERED
                if held is not None and held.presence != sealed:
                    self._move(held._replace(presence=sealed))
        return sending, items, later

    def controls_of(self) -> Mapping[str, Control]:
        """Return what the target holds of the chunk's entities, as far as the chunk has come."""
        return self._held

    def keep_back(self, rows: Sequence[LogRow], policy: RetryPolicy, reason: str) -> None:
        """Leave these open, not sent, until a person has let the target run; what follows of their entities waits behind."""
        for row in rows:
            self._open(policy.keep_back(self._first_attempt(row), reason))

    async def send(
        self,
        rows: Sequence[LogRow],
        items: Sequence[Item],
        sender: Sender,
        policy: RetryPolicy,
        now: Callable[[], float],
    ) -> None:
        """Send a wave and note what became of it."""
        sent_at = timestamp(now())
        outcomes = await sender.send(items)
        settled_at = timestamp(now())
        revision, codes, offset = self._contract.revision, self._codes, self._after + 1
        failed: list[tuple[LogRow, Outcome | None]] = []
        taken: list[LogRow] = []
        for row, item, outcome in zip(rows, items, outcomes, strict=True):
            if isinstance(outcome, Delivered | Duplicate):
                codes[row.seq - offset] = DELIVERED
                self._move(settled(row, item.event, outcome, revision, self._held.get(row.entity_id), settled_at))
                taken.append(row)
            else:
                failed.append((row, outcome))
        if taken:
            policy.note_answer()
            policy.delivered(len(taken))
            self.taken += taken
        for row, outcome in failed:
            self._open(policy.decide(self._first_attempt(row), outcome, sent_at))

    def settlement(self, target: str, epoch: int, reach: int, stop: str | None) -> Settlement:
        """Return all that the chunk did, and the position up to which the relay may send after it."""
        return Settlement(
            target=target,
            epoch=epoch,
            position_from=self._after,
            position_to=self._upto,
            codes=bytes(self._codes),
            controls=list(self._moved.values()),
            opened=self._opened,
            reach=reach,
            stop=stop,
        )

    def _move(self, control: Control) -> None:
        self._held[control.entity_id] = control
        self._moved[control.entity_id] = control

    def _open(self, delivery: OpenDelivery) -> None:
        self._codes[delivery.seq - self._after - 1] = OPEN
        self._opened.append(delivery)
        self._blocked[delivery.entity_id] = delivery.state == "dead"

    def _wait_behind(self, row: LogRow) -> None:
        dead = self._blocked[row.entity_id]
        self._codes[row.seq - self._after - 1] = OPEN
        self._opened.append(self._first_attempt(row)._replace(state="parked" if dead else "pending"))

    def _first_attempt(self, row: LogRow) -> OpenDelivery:
        return first_attempt(row)._replace(ambiguous=row.seq <= self._unclear_upto, revision=self._contract.revision)
