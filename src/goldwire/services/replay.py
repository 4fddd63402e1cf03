"""Asking for a replay: what it selects, what it would come to, and carrying it out where no relay of the target runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.capture import values
from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.store import RelayStore
from goldwire.changelog.replays import Replay, Selection
from goldwire.changelog.rows import LogRow, Revision
from goldwire.clock import Clock, timestamp
from goldwire.errors import ConfigError, ContractError, InputError, StoreBusyError, TargetStoppedError
from goldwire.services.account import account
from goldwire.services.lookup import cursor_of, history_of

if TYPE_CHECKING:
    from goldwire.relay.replay_plan import Plan
    from goldwire.services.contract_documents import AppliedContracts


Namer = Callable[[str], str]
"""Returns how a door calls a field of `ReplayRequest`."""


class ReplayRequestError(Exception):
    """What an InputError and a ContractError about a field of a `ReplayRequest` share: a door may call the field its own way.

    Args:
        says: returns the text, given what names a field.
    """

    def __init__(self, says: Callable[[Namer], str]) -> None:
        super().__init__(says(_field))
        self._says = says

    def in_words_of(self, name: Namer) -> Self:
        """Return the same error, its fields called as a door calls them."""
        return type(self)(lambda _: self._says(name))


class ReplayInputError(ReplayRequestError, InputError):
    """A value of a field is unusable, or contradicts another one."""


class ReplayWhereError(ReplayRequestError, ContractError):
    """The expression cannot be compiled, or decides on what the target may not know."""


def moment(text: str, field: str) -> str:
    """Return a moment that a person wrote as recorded text; without a zone it is taken as UTC.

    Args:
        text: what the person wrote.
        field: where in the `ReplayRequest` it stands.

    Raises:
        ReplayInputError: it is no date and no time, or none of the years 1 to 9999 in UTC.
    """
    try:
        return values.moment(text)
    except values.RefusedError:
        fix = f"{text!r} is no moment; write e.g. 2026-11-23 or 2026-11-23T10:00:00Z"
        raise ReplayInputError(lambda name: f"{name(field)}: {fix}") from None


class ReplayRequest(Struct, frozen=True, kw_only=True):
    """What is to be repeated: one beginning and one end at most; without any, all that the target was sent."""

    since: str | None = None
    """A moment, see `moment`; what was committed then is included,"""
    until: str | None = None
    """and here it is not."""
    from_seq: int | None = None
    """The first position,"""
    to_seq: int | None = None
    """and the last."""
    from_version: int | None = None
    """Of one entity the first version,"""
    to_version: int | None = None
    """and the last."""
    entities: tuple[str, ...] = ()
    """Entity ids, or SYSTEM/ID of one of their records; none: all."""
    where: str | None = None
    """A CEL expression."""


class ReplayService:
    """The replays of one target: what one selects, what it would come to, and asking for it.

    Args:
        target: its name.
        store: the log, and what the target was sent of it.
        contracts: those of the target.
        clock: the time.
        rate_limit_per_second: the target's own limit of events; None: none.
    """

    def __init__(
        self,
        target: str,
        store: RelayStore,
        contracts: AppliedContracts,
        clock: Clock,
        rate_limit_per_second: float | None,
    ) -> None:
        self._target = target
        self._store = store
        self._contracts = contracts
        self._clock = clock
        self._rate_limit_per_second = rate_limit_per_second

    def select(self, asked: ReplayRequest) -> Selection:
        """Return what a person asked for as positions.

        Raises:
            InputError: the two ends contradict each other, or nothing lies between them.
            ContractError: the expression is wrong, or decides on what the target may not know.
        """
        _refuse_two_of_one(asked)
        cursor = cursor_of(self._store, self._target)
        histories = [history_of(self._store, name) for name in asked.entities]
        after, upto = self._ends(asked, histories)
        bounded = upto is not None and upto < cursor.position
        after = max(after, cursor.start)
        upto = cursor.position if upto is None else min(upto, cursor.position)
        if upto <= after:
            raise InputError(
                f"{self._target} was sent nothing between these ends; it began after position {cursor.start} and is at "
                f"{cursor.position}"
            )
        attributes = self._where_attributes(asked.where) if asked.where is not None else ()
        ids = tuple(dict.fromkeys(history[0].entity_id for history in histories))
        return Selection(after, upto, bounded, ids, asked.where, attributes)

    def plan(self, selection: Selection, rate: float | None, progress: Callable[[int], None]) -> Plan:
        """Return what a replay would come to; nothing is sent and nothing is written.

        Args:
            selection: what would be repeated.
            rate: events a second that the replay is held to.
            progress: called with the position that was reached.
        """
        from goldwire.relay.connection import StoreCall  # noqa: PLC0415
        from goldwire.relay.contract_revisions import ContractRevisions  # noqa: PLC0415
        from goldwire.relay.replay_plan import plan_replay  # noqa: PLC0415 - only a dry run needs it
        from goldwire.relay.replay_source import ReplaySource  # noqa: PLC0415

        revisions = ContractRevisions(self._target, self._contracts.compile)
        source = ReplaySource(self._target, self._store, StoreCall(), revisions)
        limits = [limit for limit in (rate, self._rate_limit_per_second) if limit is not None]
        return asyncio.run(plan_replay(source, selection, min(limits, default=None), progress))

    def ask(self, selection: Selection, *, rate: float | None, why: str) -> Replay:
        """Keep the record of a new replay, and return it.

        Raises:
            InputError: the rate is no positive number; nothing was kept.
            TargetStoppedError: the target takes nothing before a person lets it run; nothing was kept.
        """
        if rate is not None and (isinstance(rate, bool) or not (isinstance(rate, int | float) and 0 < rate < inf)):
            raise InputError(f"the rate of a replay is a positive number of events a second, not {rate!r}")
        target = self._target
        stopped = cursor_of(self._store, target).stopped
        if stopped is not None:
            raise TargetStoppedError(
                f"target {target} is stopped: {stopped}. Mend the cause, then `goldwire resume {target}`; no replay was kept"
            )
        replay_id = f"{SystemRandom().getrandbits(40):010x}"
        replay = Replay(replay_id, target, selection, account(), timestamp(self._clock.now()), why, rate)
        self._store.add_replay(replay)
        return replay

    def _ends(self, asked: ReplayRequest, histories: Sequence[list[LogRow]]) -> tuple[int, int | None]:
        """Return the position after which to begin, and the last one, None where no end was given."""
        after, upto = 0, asked.to_seq
        if asked.since is not None:
            after = self._store.position_before(moment(asked.since, "since"))
        elif asked.from_seq is not None:
            after = asked.from_seq - 1
        if asked.until is not None:
            upto = self._store.position_before(moment(asked.until, "until"))
        if asked.from_version is None and asked.to_version is None:
            return after, upto
        if len(histories) != 1:
            raise ReplayInputError(
                lambda name: (
                    f"a version is one of an entity: give {name('from_version')} and {name('to_version')} with one "
                    f"{name('entities')}"
                )
            )
        [history] = histories
        if asked.from_version is not None:
            above = [row.seq for row in history if row.version >= asked.from_version]
            if not above:
                wrong = f"{asked.from_version}: the entity's newest version is {history[-1].version}"
                raise ReplayInputError(lambda name: f"{name('from_version')} {wrong}")
            after = above[0] - 1
        if asked.to_version is not None:
            below = [row.seq for row in history if row.version <= asked.to_version]
            if not below:
                beneath = f"{asked.to_version}: the entity's oldest version is {history[0].version}"
                raise ReplayInputError(lambda name: f"{name('to_version')} {beneath}")
            upto = below[-1]
        return after, upto

    def _where_attributes(self, where: str) -> tuple[str, ...]:
        """Check an expression as if it stood in the target's contract; return the attributes that it may refer to.

        A repeated record shows the target something of the values that decided it (docs/adr/0010).
        """
        from goldwire.services.contract_documents import ContractDocument  # noqa: PLC0415 - compiling is slow to import

        revisions = self._store.revisions(self._target)
        if not revisions:
            raise ConfigError(f"no contract was applied yet for {self._target}; run `goldwire apply`")
        kept = msgspec.json.decode(revisions[-1].document, type=ContractDocument)
        spec = msgspec.structs.replace(kept.spec, where=where, deselect=False)
        asked = canonical(msgspec.to_builtins(msgspec.structs.replace(kept, spec=spec)))
        try:
            compiled = self._contracts.compile(Revision(1, 0, "", asked)).where
        except ContractError as error:
            reason = str(error).removeprefix(f"contract {kept.contract!r}: ")
            raise ReplayWhereError(lambda name: f"{name('where')}: {reason}") from None
        assert compiled is not None, "it was given"
        return tuple(sorted(compiled.attributes))


def _refuse_two_of_one(asked: ReplayRequest) -> None:
    beginnings = (asked.since, asked.from_seq, asked.from_version)
    ends = (asked.until, asked.to_seq, asked.to_version)
    if max(sum(one is not None for one in either) for either in (beginnings, ends)) > 1:
        raise InputError("give one beginning and one end: a moment, a position or a version")
    if asked.since is not None and asked.until is not None and moment(asked.since, "since") >= moment(asked.until, "until"):
        raise ReplayInputError(lambda name: f"{name('since')} has to be before {name('until')}")


def runs_elsewhere(store: Deliveries, target: str) -> bool:
    """Say whether another process runs a target's relay; it carries out the target's replays."""
    try:
        with store.lock_target(target):
            return False
    except StoreBusyError:
        return True


def _field(name: str) -> str:
    return "name in `entities`" if name == "entities" else f"`{name}`"
