"""Asking for a replay: what it selects, what it would come to, and carrying it out where no relay of the target runs."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from random import SystemRandom
from typing import TYPE_CHECKING

import msgspec

from goldwire.app.finding import cursor_of, history_of
from goldwire.app.pinned import keep_settings, refuse_moves
from goldwire.app.wiring import House
from goldwire.canonical import canonical
from goldwire.changelog.port import Revision
from goldwire.changelog.replays import Replay, Selection
from goldwire.clock import timestamp
from goldwire.errors import ConfigError, InputError, StoreBusyError

if TYPE_CHECKING:
    from goldwire.relay.replay_plan import Plan


def moment(text: str, option: str) -> str:
    """Return a moment that a person wrote as recorded text; without a zone it is taken as UTC.

    Raises:
        InputError: it is no date and no time.
    """
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option}: {text!r} is no moment; write e.g. 2026-11-23 or 2026-11-23T10:00:00Z") from None
    aware = written if written.tzinfo is not None else written.replace(tzinfo=UTC)
    return timestamp(aware.timestamp())


def select(
    house: House, target: str, *, since: str | None, until: str | None, from_seq: int | None, to_seq: int | None,
    entities: list[str], where: str | None,
) -> Selection:  # fmt: skip
    """Return what a person asked for as positions.

    Args:
        house: what is configured.
        target: the target.
        since: a moment, see `moment`; what was committed then is included,
        until: and here it is not.
        from_seq: the first position,
        to_seq: and the last.
        entities: entity ids, or SYSTEM/ID of one of their records.
        where: a CEL expression.

    Raises:
        InputError: the two ends contradict each other, or nothing lies between them.
        ContractError: the expression is wrong, or decides on what the target may not know.
    """
    if (since is not None and from_seq is not None) or (until is not None and to_seq is not None):
        raise InputError("give one beginning and one end: either a moment or a position")
    store = house.store
    cursor = cursor_of(store, target)
    after, upto = cursor.start, cursor.position
    if since is not None:
        after = store.position_before(moment(since, "--since"))
    elif from_seq is not None:
        after = from_seq - 1
    bounded = until is not None or to_seq is not None
    if until is not None:
        upto = store.position_before(moment(until, "--until"))
    elif to_seq is not None:
        upto = to_seq
    bounded = bounded and upto < cursor.position
    after, upto = max(after, cursor.start), min(upto, cursor.position)
    if upto <= after:
        raise InputError(
            f"{target} was sent nothing between these ends; it began after position {cursor.start} and is at {upto}"
        )
    attributes = _where_attributes(house, target, where) if where is not None else ()
    ids = tuple(dict.fromkeys(history_of(store, name)[0].entity_id for name in entities))
    return Selection(after, upto, bounded, ids, where, attributes)


def _where_attributes(house: House, target: str, where: str) -> tuple[str, ...]:
    """Check an expression as if it stood in the target's contract; return the attributes that it may refer to.

    That a record is repeated tells the target something about the values that decided it (docs/adr/0010).
    """
    from goldwire.app.contracts import Applied, ContractDocument  # noqa: PLC0415 - compiling is slow to import

    revisions = house.store.revisions(target)
    if not revisions:
        raise ConfigError(f"no contract was applied yet for {target}; run `goldwire apply`")
    kept = msgspec.json.decode(revisions[-1].document, type=ContractDocument)
    spec = msgspec.structs.replace(kept.spec, where=where, deselect=False)
    asked = canonical(msgspec.to_builtins(msgspec.structs.replace(kept, spec=spec)))
    compiled = Applied(house.loaded, target).compile(Revision(1, 0, "", asked)).where
    assert compiled is not None, "it was given"
    return tuple(sorted(compiled.attributes))


def ask(house: House, target: str, selection: Selection, *, rate: float | None, why: str) -> Replay:
    """Keep the record of a new replay, and return it.

    Raises:
        ConfigError: a setting that decides an entity's partition was changed.
    """
    refuse_moves(house, [target])
    replay_id = f"{SystemRandom().getrandbits(40):010x}"
    now = timestamp(house.clock.now())
    replay = Replay(replay_id, target, selection, _who(), now, why, rate)
    house.store.add_replay(replay)
    return replay


def plan(house: House, target: str, selection: Selection, rate: float | None, progress: Callable[[int], None]) -> Plan:
    """Return what a replay would come to; nothing is sent and nothing is written.

    Args:
        house: what is configured.
        target: the target.
        selection: what would be repeated.
        rate: events a second that the replay is held to.
        progress: called with the position that was reached.
    """
    from goldwire.relay.replay_plan import plan_replay  # noqa: PLC0415 - only a dry run needs it
    from goldwire.relay.replay_source import ReplaySource  # noqa: PLC0415
    from goldwire.relay.store_call import StoreCall  # noqa: PLC0415

    source = ReplaySource(target, house.store, StoreCall(), house.book(target))
    limits = [limit for limit in (rate, house.target_config(target).delivery.rate_limit_per_second) if limit is not None]
    return asyncio.run(plan_replay(source, selection, min(limits, default=None), progress))


def carry_out(house: House, replay: Replay, told: Callable[[Replay], None]) -> bool:
    """Run the target's relay until the replay has ended; False where another process runs it, which carries it out.

    Args:
        house: what is configured.
        replay: its record.
        told: called with the record after each turn.

    Raises:
        TargetStoppedError, ConfigError: the target cannot be delivered to.
    """
    from goldwire.app.running import run_replay  # noqa: PLC0415 - a replay that waits for another process needs none

    try:
        with house.store.lock_target(replay.target):
            pass
    except StoreBusyError:
        return False
    keep_settings(house, replay.target)
    run_replay(house, replay, told)
    return True


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "unknown"
