"""Notices that a target holds what this store never made: the store is older than the target, or another store writes there.

Sealing is deterministic, so a target that holds a version with another hash, or a version that the log does not have, took it
from another history: a backup was restored, or the store lost its last writes. Its "already there" is then no delivery
(docs/adr/0052).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Protocol

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.resyncs import FOREIGN, Resend
from goldwire.changelog.rows import Control, Cursor, LogRow
from goldwire.clock import Clock
from goldwire.relay.connection import Connection, StoreCall
from goldwire.relay.observer import Observer
from goldwire.targets.base import Duplicate, Item, Outcome, TakenEvent

NEWEST = 200
"""So many of the events that a target took last are compared when it is opened."""


class DivergenceStore(Log, Deliveries, Resyncs, Protocol):
    """The log, what the target was sent, and whether a resync mends it."""


class Divergence:
    """Compares what one target says that it holds with what this store knows.

    Args:
        target: its name.
        store, call: where the log and the control rows are, and how they are reached.
        connection: to the target.
        clock: the time.
        observer: where it is reported.
    """

    def __init__(
        self, target: str, store: DivergenceStore, call: StoreCall, connection: Connection, *,
        clock: Clock, observer: Observer,
    ) -> None:  # fmt: skip
        self._target = target
        self._store = store
        self._call = call
        self._connection = connection
        self._clock = clock
        self._observer = observer
        self._epoch = 0
        self._unclear_upto = 0
        self.stop: str | None = None
        """Why the target must stop, once it must."""

    async def look(self, cursor: Cursor, unclear_upto: int) -> str | None:
        """Compare the events that the open target took last; return why it must stop, or None.

        Args:
            cursor: as the relay has acquired it. Where this store has not delivered to the target before, what is there is not
                its own, and says nothing.
            unclear_upto: positions up to here may have been sent and not settled.
        """
        self._epoch, self._unclear_upto = cursor.epoch, unclear_upto
        begun = cursor.position > cursor.start
        newest = await self._connection.newest(NEWEST) if begun else ()
        if not newest or await self._is_mended([]):
            return None
        ids = list({one.entity_id for one in newest})
        heads = {row.entity_id: row.version for row in await self._call(self._store.heads_of, ids)}
        controls = await self._call(self._store.controls, self._target, ids)
        seqs = await self._seqs(newest)
        foreign = [one for one in newest if _is_foreign(one, heads, controls.get(one.entity_id), seqs, unclear_upto)]
        foreign = [one for one in foreign if not await self._was_resent_above(one, heads, seqs)]
        return self._found(foreign[0], heads.get(foreign[0].entity_id, 0), len(foreign), seqs) if foreign else None

    async def checked(self, items: Sequence[Item], outcomes: Sequence[Outcome | None]) -> list[Outcome | None]:
        """Return the outcomes, without those that say "already there" of what this store never made.

        Such a one counts as not attempted, and the target stops. While a resync of everything is open it counts, since the
        entity is then sent in a higher version; it says what is held, so that the chain goes on from there. No other in doubt
        says that.

        Args:
            items: what was sent.
            outcomes: of each.
        """
        found = list(outcomes)
        doubtful = [index for index, outcome in enumerate(outcomes) if _doubtful(items[index], outcome)]
        if not doubtful:
            return found
        ids = list({items[index].event.entity_id for index in doubtful})
        rows = {row.entity_id: row for row in await self._call(self._store.heads_of, ids)}
        seqs = await self._seqs([outcome.held for outcome in outcomes if isinstance(outcome, Duplicate) and outcome.held])
        for index in doubtful:
            outcome, event = found[index], items[index].event
            assert isinstance(outcome, Duplicate), "only these are in doubt"
            held, row = outcome.held, rows[event.entity_id]
            head = row.version
            assert held is not None, "only these are in doubt"
            if event.version < held.version and seqs.get((held.entity_id, held.version), inf) <= self._unclear_upto:
                # It was sent before, and not settled yet.
                found[index] = Duplicate(outcome.remote_id)
            elif await self._is_mended([event.entity_id]):
                await self._send_above(held, row)
            else:
                self.stop = self.stop or self._found(held, head, 1, seqs)
                found[index] = None
        return found

    async def _seqs(self, held: Sequence[TakenEvent]) -> dict[tuple[str, int], int]:
        """Return the positions of those of these versions that the log has."""
        rows = await self._call(self._store.versions, [(one.entity_id, one.version) for one in held])
        return {key: row.seq for key, row in rows.items()}

    async def _send_above(self, held: TakenEvent, head: LogRow) -> None:
        """Have an entity sent above what the target holds of it, where the open resync has come past it already.

        A resync judges each entity once, and what enters in a turn of its own. One that the log has brought meanwhile, and that
        the target took for a duplicate, would be judged no more.
        """
        resync = await self._call(self._store.open_resync, self._target)
        if resync is None or (resync.turn == 1 and held.entity_id > resync.after):
            return
        if head.addressed_to == self._target and head.version > held.version:
            return  # it is on its way
        wanted = [Resend(held.entity_id, head.version, held.version)]
        await self._call(self._store.resend, resync, wanted, self._epoch, self._clock.now())

    async def _is_mended(self, entity_ids: Sequence[str]) -> bool:
        """Say whether a resync is open that sends these again, or everything, above what the target holds."""
        resync = await self._call(self._store.open_resync, self._target)
        if resync is None or resync.scope != "all":
            return False
        return not resync.entities or (bool(entity_ids) and set(entity_ids) <= set(resync.entities))

    async def _was_resent_above(self, held: TakenEvent, heads: Mapping[str, int], seqs: Mapping[tuple[str, int], int]) -> bool:
        """Say whether a resync has mended a version that the log lacks and has gone past, as far as it can be mended.

        What it sends above may still wait, also once the resync has ended, or be a dead letter that a person discards.
        """
        if held.version > heads.get(held.entity_id, 0) or (held.entity_id, held.version) in seqs:
            return False
        above = [row for row in await self._call(self._store.history, held.entity_id) if row.version > held.version]
        if any(row.addressed_to == self._target for row in above):
            return True
        # It appends nothing of what is selected no more where the contract sends no deletion for that.
        return any(
            one.scope == "all" and one.state == "done" and one.requested_at >= above[0].committed_at
            and (not one.entities or held.entity_id in one.entities)
            for one in await self._call(self._store.resyncs, self._target)
        )  # fmt: skip

    def _found(self, held: TakenEvent, head: int, count: int, seqs: Mapping[tuple[str, int], int]) -> str:
        self._observer.diverged(count)
        what = f"version {held.version} with another content than the log"
        if held.version > head:
            what = f"version {held.version}, where the log has {head or 'none'}"
        elif (held.entity_id, held.version) not in seqs:
            what = f"version {held.version}, which the log does not have"
        return (
            f"{FOREIGN} of entity {held.entity_id} it holds {what}. The store is older than what was delivered (a copy was "
            f"restored, or its last writes were lost), or another store delivers there. `goldwire resync {self._target}` lets "
            "it run again and sends what it should hold, above what it holds"
        )


def _doubtful(item: Item, outcome: Outcome | None) -> bool:
    if type(outcome) is not Duplicate or outcome.held is None or item.replay_id is not None:
        return False
    held, event = outcome.held, item.event
    return held.version > event.version or (held.version == event.version and held.hash != event.hash)


def _is_foreign(
    held: TakenEvent,
    heads: Mapping[str, int],
    control: Control | None,
    seqs: Mapping[tuple[str, int], int],
    unclear_upto: int,
) -> bool:
    """Say whether a target cannot have this from this store.

    Args:
        held: what it holds.
        heads: by entity, its newest version.
        control: what the entity's target was last sent.
        seqs: positions of the versions that the log has.
        unclear_upto: positions up to here may have been sent and not settled.
    """
    if held.version > heads.get(held.entity_id, 0):
        return True
    if control is None:
        return False  # another target of this store may have sent it there
    if control.version == held.version:
        return control.hash != held.hash
    if control.version > held.version:
        return False  # what it was sent later is not there any more: nothing foreign
    seq = seqs.get((held.entity_id, held.version))
    return seq is None or seq > unclear_upto
