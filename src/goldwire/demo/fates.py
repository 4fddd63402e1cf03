"""What became of the steward's decisions: read back from what each target holds, not from what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.changelog.ports.log import Log
from goldwire.demo.folder import DemoFolder
from goldwire.demo.mirror import mirrored
from goldwire.demo.partner import arrivals
from goldwire.demo.proof import table_rows
from goldwire.demo.result import DecisionOutcome
from goldwire.services.application import Application
from goldwire.targets.sql.settings import SqlSettings

_WANTED = {
    "merge": ("merged", "merged", "marked deleted", "merged"),
    "unmerge": ("changed", "changed", "row", "row"),
    "delete": ("deleted", "deleted", "marked deleted", "deleted"),
    "withdraw": ("changed", "deselected", "marked deleted", "deselected"),
}
"""By decision: what its last event in the event log and at the partner says, what the table has, and the subscriber."""

_NEVER = "never sent"


class _Ref(Struct):
    system: str
    id: str


class _Made(Struct):
    decision: str
    record: _Ref


class StewardDecision(Struct, frozen=True):
    """A decision, and the entity that its record belonged to before it was carried out."""

    decision: str
    system: str
    id: str
    before: str


def decided(store: Log, folder: DemoFolder) -> list[StewardDecision]:
    """Return the first decision about each record in the second wave, before it is carried out."""
    found = []
    seen: set[tuple[str, str]] = set()
    for line in folder.decisions.read_bytes().splitlines():
        made = msgspec.json.decode(line, type=_Made)
        if (made.record.system, made.record.id) in seen:
            continue
        seen.add((made.record.system, made.record.id))
        entity_id = store.find_entity(made.record.system, made.record.id)
        assert entity_id is not None, "a decision about a record that was never ingested"
        found.append(StewardDecision(made.decision, made.record.system, made.record.id, entity_id))
    return found


def fates(application: Application, folder: DemoFolder, decisions: Iterable[StewardDecision]) -> list[DecisionOutcome]:
    """Return for each decision what the targets hold of its entity: the one split off, merged away, deleted or withdrawn."""
    settings = application.targets.settings("warehouse")
    assert isinstance(settings, SqlSettings)
    rows = dict(table_rows(folder.warehouse, settings))
    in_log = _last(folder.eventlog.read_bytes().splitlines())
    at_partner = _last(one.body for one in arrivals(folder.arrivals))
    in_mirror = mirrored(folder) if folder.mirror.exists() else None
    found: dict[str, DecisionOutcome] = {}
    for one in decisions:
        after = application.store.find_entity(one.system, one.id) or one.before
        entity_id = after if one.decision == "unmerge" else one.before
        outcomes = (_newest_of(in_log, entity_id), _newest_of(at_partner, entity_id), _row(rows, entity_id, settings))
        mirror = None if in_mirror is None else in_mirror.get(entity_id, _NEVER)
        wanted = _WANTED[one.decision]
        # What was provisional reached the event log alone, so the others need no event of its end.
        as_decided = outcomes[0].startswith(wanted[0]) and all(
            here == _NEVER or here.startswith(want) for here, want in zip((*outcomes, mirror or _NEVER), wanted, strict=True)
        )
        if entity_id not in found:
            found[entity_id] = DecisionOutcome(
                one.decision, f"{one.system}/{one.id}", entity_id, *outcomes, mirror, as_decided=as_decided
            )
    return list(found.values())


def tombstone(folder: DemoFolder, outcomes: Iterable[DecisionOutcome]) -> dict[str, Any]:
    """Return the last event in the event log of the first record that was merged away."""
    newest = _last(folder.eventlog.read_bytes().splitlines())
    return next(newest[fate.entity_id] for fate in outcomes if fate.decision == "merge")


def _last(lines: Iterable[bytes]) -> dict[str, dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for line in lines:
        event = msgspec.json.decode(line)
        if event["entityId"] not in newest or newest[event["entityId"]]["version"] <= event["version"]:
            newest[event["entityId"]] = event
    return newest


def _newest_of(newest: Mapping[str, dict[str, Any]], entity_id: str) -> str:
    event = newest.get(entity_id)
    if event is None:
        return _NEVER
    what = event["reason"] if event["eventType"] == "EntityDeleted" else "changed"
    return f"{what}, v{event['version']}"


def _row(rows: Mapping[str, dict[str, Any]], entity_id: str, settings: SqlSettings) -> str:
    row = rows.get(entity_id)
    if row is None:
        return _NEVER
    what = "marked deleted" if row[settings.deleted_column] else "row"
    return f"{what}, v{row[settings.version_column]}"
