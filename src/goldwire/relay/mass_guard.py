"""Keeps back what would remove or change more of what a target holds than its guards let go, until a person says yes.

A mistake at the source (an empty export, a column shifted, a filter mistyped) looks like ordinary changes, one by one. Only
their number gives it away. What goes beyond the number is not sent and stays open, and the target stops (docs/adr/0050).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from math import inf

from goldwire.changelog.ports.consents import Consents
from goldwire.changelog.rows import Control, LogRow
from goldwire.clock import Clock, timestamp
from goldwire.relay.connection import StoreCall
from goldwire.relay.observer import Observer
from goldwire.relay.settings import GuardSettings
from goldwire.targets.base import Item

HELD_SECONDS = 60.0
"""How long it is believed how many records a target holds: counting them reads all its control rows."""


class _Tally:
    """How many events of one kind were let go within the span.

    Args:
        span_seconds: its length.
    """

    def __init__(self, span_seconds: float) -> None:
        self._span_seconds = span_seconds
        self._let_go: deque[tuple[float, int]] = deque()
        self._sum = 0

    def count(self, now: float) -> int:
        """Return how many there were in the span that ends now."""
        while self._let_go and self._let_go[0][0] <= now - self._span_seconds:
            self._sum -= self._let_go.popleft()[1]
        return self._sum

    def add(self, count: int, now: float) -> None:
        """Note so many more."""
        self._let_go.append((now, count))
        self._sum += count


class MassGuard:
    """Counts what leaves one target and what changes there, and finds what goes beyond its guards.

    An event counts once, when it is let go first; what a resync sends does not count here, since `goldwire apply` and
    `goldwire resync` hold it against the same guards before it begins.

    Args:
        target: its name.
        store, call: where consents and control rows are, and how they are reached.
        settings: how much may go.
        clock: the time.
        observer: where it is reported.
    """

    def __init__(
        self, target: str, store: Consents, call: StoreCall, settings: GuardSettings, *, clock: Clock, observer: Observer
    ) -> None:
        self._target = target
        self._store = store
        self._call = call
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._removals, self._changes = _Tally(settings.span_seconds), _Tally(settings.span_seconds)
        self._let_go: set[int] = set()
        """Positions that were let go and have not ended: they do not count again when they are tried again."""
        self._upto = -1
        """What was committed up to here may go; -1: not read yet."""
        self._held = 0
        self._held_at = -inf

    async def beyond(
        self, rows: Sequence[LogRow], items: Sequence[Item], controls: Mapping[str, Control]
    ) -> tuple[Collection[int], str]:
        """Find what must not be sent before a person says yes, and count the rest as let go.

        Args:
            rows: of what is about to be sent,
            items: which is this.
            controls: what the target holds, by entity.

        Returns:
            indices of what is kept back, and why the target has to stop; nothing and "" where all may go.
        """
        removals, changes = self._counted(rows, items, controls)
        if not removals and not changes:
            return (), ""
        now = self._clock.monotonic()
        if self._upto < 0:
            await self._begin(now)
            removals, changes = self._counted(rows, items, controls)
        kept, reason = await self._sift("removal", removals, rows, now)
        others, why = await self._sift("change", changes, rows, now)
        return frozenset((*kept, *others)), reason or why

    def ended(self, rows: Collection[LogRow]) -> None:
        """Note that the target took these."""
        if self._let_go:
            self._let_go.difference_update([row.seq for row in rows])

    def _counted(
        self, rows: Sequence[LogRow], items: Sequence[Item], controls: Mapping[str, Control]
    ) -> tuple[list[int], list[int]]:
        removals: list[int] = []
        changes: list[int] = []
        settings, upto = self._settings, self._upto
        since = timestamp(self._clock.now() - settings.span_seconds)
        for index, row in enumerate(rows):
            held = controls.get(row.entity_id)
            if held is None or held.presence == "gone" or row.addressed_to is not None or row.seq <= upto:
                continue
            if items[index].event.deleted:
                if settings.removal_ratio and row.seq not in self._let_go:
                    removals.append(index)
            elif held.settled_at < since and settings.change_ratio and row.seq not in self._let_go:
                changes.append(index)
        return removals, changes

    async def _begin(self, now: float) -> None:
        """Read how far a person let the target go, and what was removed before this relay began."""
        await self._read_consent()
        since = timestamp(self._clock.now() - self._settings.span_seconds)
        found = await self._call(self._store.holdings, self._target, since, self._upto)
        self._held, self._held_at = found.held, now
        self._removals.add(found.removed, now)

    async def _read_consent(self) -> None:
        consent = await self._call(self._store.consent, self._target)
        self._upto = 0 if consent is None else consent.upto

    async def _sift(self, kind: str, found: list[int], rows: Sequence[LogRow], now: float) -> tuple[list[int], str]:
        if not found:
            return [], ""
        tally = self._removals if kind == "removal" else self._changes
        if tally.count(now) + len(found) > self._allowed(kind):
            await self._look_again(now)
            found = [index for index in found if rows[index].seq > self._upto]
        allowed = self._allowed(kind)
        room = max(allowed - tally.count(now), 0)
        going = found if room >= len(found) else found[: int(room)]
        if going:
            tally.add(len(going), now)
            self._let_go.update(rows[index].seq for index in going)
        kept = found[len(going) :]
        if not kept:
            return [], ""
        self._observer.guarded(kind, len(kept))
        return kept, self._reason(kind, tally.count(now) + len(kept), int(allowed))

    def _allowed(self, kind: str) -> float:
        settings = self._settings
        return settings.removals_allowed(self._held) if kind == "removal" else settings.changes_allowed(self._held)

    async def _look_again(self, now: float) -> None:
        await self._read_consent()
        if now - self._held_at >= HELD_SECONDS:
            found = await self._call(self._store.holdings, self._target, "", self._upto)
            self._held, self._held_at = found.held, now

    def _reason(self, kind: str, count: int, allowed: int) -> str:
        span = f"{self._settings.span_seconds:g} s"
        what = "would be removed from it" if kind == "removal" else "would change there"
        return (
            f"guards: within {span} at least {count:,} records {what} ({self._held:,} are held), and {kind}s beyond "
            f"{allowed:,} wait for a yes. If that is meant, `goldwire resume {self._target} --yes` sends them"
        )
