"""Planted bugs that were chosen by eyes which had not read the simulation: what a tired engineer writes.

They were written down before anybody looked at what catches them; `uncaught_bugs.py` lists those that the simulation lets pass.
"""

from __future__ import annotations

_MASTERING: dict[str, tuple[str, str, str]] = {
    "fact-of-the-moment-of-deletion-counts": (
        "goldwire.mastering.record",
        "if at <= self.deleted_at:\n            return\n        is_newest",
        "if at < self.deleted_at:\n            return\n        is_newest",
    ),
    "deletion-keeps-the-claims-of-its-moment": (
        "goldwire.mastering.record",
        "for name, claim in self.claims.items() if claim[0] > at}",
        "for name, claim in self.claims.items() if claim[0] >= at}",
    ),
    "ranks-saved-only-beside-a-hub": (
        "goldwire.mastering.record",
        "_FullBody if self.hub[0] or self.ranks else _RecordBody",
        "_FullBody if self.hub[0] else _RecordBody",
    ),
    "whole-row-drops-what-was-said-beside-it": (
        "goldwire.mastering.record",
        "if claim[2] != rel or claim[0] >= stamp or claim[0] == at",
        "if claim[2] != rel or claim[0] >= stamp",
    ),
    "late-record-undoes-a-deletion-by-a-steward": (
        "goldwire.mastering.unit_of_work",
        "if deleted_at:\n            record.delete_until(deleted_at)",
        "if deleted_at and record.deleted_at:\n            record.delete_until(deleted_at)",
    ),
    "merge-forgets-the-decisions-of-the-loser": (
        "goldwire.mastering.unit_of_work",
        "survivor.homes.update(loser.homes)\n        loser.homes = {}",
        "loser.homes = {}",
    ),
    "moved-record-leaves-its-source-untouched": (
        "goldwire.mastering.unit_of_work",
        "self.touch(source)\n        self.touch(entity)",
        "self.touch(entity)",
    ),
    "merge-forgets-what-was-held-apart": (
        "goldwire.mastering.unit_of_work",
        "pairs = [pair(survivor.entity_id, other) for other in others if other != survivor.entity_id]",
        "pairs = []",
    ),
    "unmerged-records-unite-again": (
        "goldwire.mastering.decisions",
        "self._unit.workspace.save_apart([pair(entity.entity_id, into.entity_id)])",
        "pass",
    ),
    "decision-carried-out-once-more": (
        "goldwire.mastering.engine",
        "unit.workspace.save_carried_out(done.intersection(digests))",
        "unit.workspace.save_carried_out(done.difference(digests))",
    ),
    "keys-replaced-by-those-gained": (
        "goldwire.mastering.engine",
        "replaced.append((record.ref, [key for key in keys if key is not None]))\n        return replaced",
        "replaced.append((record.ref, [key for key in arrival.gained if key is not None]))\n        return replaced",
    ),
    "block-limit-one-too-low": (
        "goldwire.mastering.identity",
        "(0 if counted else len(nodes)) > limit:",
        "(0 if counted else len(nodes)) >= limit:",
    ),
    "correction-takes-along-what-stays": (
        "goldwire.mastering.corrections",
        "if not shared.isdisjoint(keys[record.ref]) and shared.isdisjoint(staying):",
        "if not shared.isdisjoint(keys[record.ref]):",
    ),
    "placeholders-of-a-system-are-evidence": (
        "goldwire.mastering.keys",
        "(speaks or not says_nothing.holds(value)) and (of_system is None or not of_system.holds(value)):",
        "speaks or not says_nothing.holds(value):",
    ),
    "tie-goes-to-the-last-system": (
        "goldwire.mastering.survivorship",
        "(its_at == at and its_confidence > confidence)",
        "(its_at == at and its_confidence >= confidence)",
    ),
    "merge-publishes-what-was-withdrawn": (
        "goldwire.mastering.steward",
        'if "withdrawn" in decisions:',
        'if decisions == {"withdrawn"}:',
    ),
    "new-external-ids-are-no-change": (
        "goldwire.mastering.golden",
        '("@ids", old.external_ids, new.external_ids),\n        ',
        "",
    ),
    "deleted-again-and-again": (
        "goldwire.mastering.commit",
        'stored.kind in {"deleted", "erased"}:',
        'stored.kind == "erased":',
    ),
    "merged-into-the-next-and-not-the-last": (
        "goldwire.mastering.commit",
        'return _tombstone(entity, "merged", survivor.entity_id, correlation_id)',
        'return _tombstone(entity, "merged", entity.merged_into, correlation_id)',
    ),
    "confidence-of-the-last-attribute": (
        "goldwire.mastering.assembler",
        "at, confidence, system, min(lowest, confidence)",
        "at, confidence, system, confidence",
    ),
    "remaster-looks-once": (
        "goldwire.mastering.remaster",
        "entities = [entity for entity in unit.entities.values() if entity.absorbed and entity.merged_into is None]",
        "return",
    ),
}

_CHANGELOG: dict[str, tuple[str, str, str]] = {
    "new-version-loses-the-decisions": (
        "goldwire.changelog.sqlite.heads",
        "                change.merged_into,\n                change.steward,",
        '                change.merged_into,\n                b"{}",',
    ),
    "numbers-remembered-before-the-commit": (
        "goldwire.changelog.sqlite.ingest",
        "        # Only what is committed may be remembered: a rolled back number is given again.\n        self",
        "            self",
    ),
    "lowest-owner-of-a-key-not-looked-up": (
        "goldwire.changelog.match_keys",
        "if row.entity_id == entity_id:",
        "if row.entity_id != entity_id:",
    ),
    "match-key-count-stands-still": ("goldwire.changelog.match_keys", "row.records += 1", "row.records += 0"),
    "rewind-leaves-a-settlement-whole": (
        "goldwire.changelog.sqlite.targets",
        "        if keep:\n",
        "        if keep > len(codes):\n",
    ),
    "rewind-leaves-the-closings": (
        "goldwire.changelog.sqlite.targets",
        "database.execute(query.DELETE_CLOSINGS, (number, position))",
        "pass",
    ),
    "target-taken-over-under-the-same-epoch": (
        "goldwire.changelog.sqlite.queries",
        "SET epoch = epoch + 1 WHERE no",
        "SET epoch = epoch WHERE no",
    ),
    "settlement-shrinks-the-reach": (
        "goldwire.changelog.sqlite.queries",
        "reach = max(reach, ?),\n  delivered",
        "reach = ?,\n  delivered",
    ),
    "discarded-letter-stands-in-its-lane": (
        "goldwire.changelog.sqlite.queries",
        "o.entity_id IN (MANY) AND o.state <> 'discarded'\n",
        "o.entity_id IN (MANY)\n",
    ),
    "redrive-keeps-the-strikes": (
        "goldwire.changelog.sqlite.lanes",
        'row._replace(state="retrying", strikes=0, due_at=now)',
        'row._replace(state="retrying", due_at=now)',
    ),
    "lane-put-in-order-up-to-the-first-dead": (
        "goldwire.changelog.rules",
        "parked = True\n            continue",
        "parked = True\n            break",
    ),
    "resent-version-follows-the-held-one": (
        "goldwire.changelog.sqlite.heads",
        "version=max(head.version, one.held) + 1",
        "version=one.held + 1",
    ),
    "cancelled-resync-goes-on": (
        "goldwire.changelog.sqlite.resyncs",
        "if database.execute(RESYNCS.open_by_id, (resync.id,)).fetchone() is None:",
        "if resync.id is None:",
    ),
    "erasure-remembered-is-the-first": (
        "goldwire.changelog.sqlite.replays",
        "erased[row.entity_id] = row.version",
        "erased.setdefault(row.entity_id, row.version)",
    ),
    "replay-counts-what-was-sent-to-others": (
        "goldwire.changelog.sqlite.replays",
        "if end in _ENDS and row.concerns(target):",
        "if end in _ENDS:",
    ),
    "every-closing-counts-as-delivered": (
        "goldwire.changelog.sqlite.settlements",
        "ended[ENDS.index(closing.code)] += 1",
        "ended[0] += 1",
    ),
}

_CONTRACT_AND_EVENT: dict[str, tuple[str, str, str]] = {
    "what-only-the-selection-reads-is-sent": (
        "goldwire.contract.shape",
        "[field for name, field in self.fields.items() if name not in names],",
        "[],",
    ),
    "no-external-ids-means-all": (
        "goldwire.contract.compiled",
        'return () if spec.external_ids == "none" else spec.external_ids',
        'return None if spec.external_ids == "none" else spec.external_ids',
    ),
    "edge-shows-an-id-of-a-hidden-system": (
        "goldwire.contract.shape",
        "if to_systems is None:\n            return shown",
        "if to_systems is None or len(shown) > 1:\n            return shown",
    ),
    "provisional-let-out": (
        "goldwire.contract.compiled",
        'statuses = ("golden",) if spec.golden else ("golden", "provisional")',
        'statuses = ("golden", "provisional") if spec.golden else ("golden",)',
    ),
    "least-confidence-is-not-enough": ("goldwire.contract.compiled", "state.confidence < floor", "state.confidence <= floor"),
    "classification-without-relations": (
        "goldwire.contract.shape",
        "if any(edge.startswith(prefix) for edge in edges):",
        "if all(edge.startswith(prefix) for edge in edges):",
    ),
    "retention-of-the-longest": ("goldwire.contract.shape", "min(limits) if limits", "max(limits) if limits"),
    "delta-keeps-silent-about-removed-attributes": (
        "goldwire.contract.shape",
        "setattr(attributes, field, _emptied(old))",
        "pass",
    ),
    "chain-names-the-event-before-the-last": (
        "goldwire.event.seal",
        "previous = None if held is None else held.hash",
        "previous = None if held is None else held.previous_hash or held.hash",
    ),
    "resync-sends-a-delta": (
        "goldwire.event.seal",
        "if row.addressed_to is not None or base_state is None",
        "if base_state is None",
    ),
    "tombstone-sent-twice": (
        "goldwire.event.seal",
        'if presence == "gone":\n        return presence\n    shape',
        "if held is None:\n        return presence\n    shape",
    ),
    "merge-keeps-silent-about-the-survivor": (
        "goldwire.event.seal",
        'if reason == "merged" and row.merged_into is not None:',
        'if reason == "merged" and held is None:',
    ),
    "full-event-shows-every-relation": (
        "goldwire.event.seal",
        "edges = shape.edges(state.edges)\n    changes",
        "edges = [bytes(edge) for edge in state.edges]\n    changes",
    ),
    "replay-under-the-first-message-id": (
        "goldwire.event.headers",
        'return found if replay_id is None else short(f"{found}~{replay_id}")',
        "return found",
    ),
    "classification-header-only-with-a-retention": (
        "goldwire.event.headers",
        "if event.classification:",
        "if event.classification and event.retention_days is not None:",
    ),
}

_RELAY: dict[str, tuple[str, str, str]] = {
    "replay-unparks-a-lane": (
        "goldwire.relay.chunk",
        "self._blocked.setdefault(entity_id, False)",
        "self._blocked[entity_id] = False",
    ),
    "leaving-in-silence-forgotten": (
        "goldwire.relay.chunk",
        "if held is not None and held.presence != sealed:\n                    self._move(held._replace(presence=sealed))",
        "pass",
    ),
    "outage-kills-deliveries": (
        "goldwire.relay.retry_policy",
        "struck = counted or (alive and type(outcome) is not Throttled)",
        "struck = counted or type(outcome) is not Throttled",
    ),
    "not-attempted-taken-for-not-received": (
        "goldwire.relay.retry_policy",
        "return delivery._replace(due_at=now)",
        "return delivery._replace(due_at=now, ambiguous=False)",
    ),
    "closing-without-its-revision": (
        "goldwire.relay.lanes",
        "Closing(delivery.seq, code, delivery.revision)",
        "Closing(delivery.seq, code)",
    ),
    "lane-settled-under-the-newest-revision": (
        "goldwire.relay.relay",
        "settled(row, item.event, outcome, delivery.revision,",
        "settled(row, item.event, outcome, self._contracts.newest,",
    ),
    "lane-sent-before-it-is-marked": (
        "goldwire.relay.relay",
        (
            "await self._settle(marked, ())\n        sent_at = timestamp(self._clock.now())\n"
            "        alone = {index for index, (delivery, _) in enumerate(ready) if delivery.strikes}\n"
            "        outcomes = await self._sender.resend([(item, delivery.ambiguous) for delivery, item in ready], alone)"
        ),
        (
            "sent_at = timestamp(self._clock.now())\n"
            "        alone = {index for index, (delivery, _) in enumerate(ready) if delivery.strikes}\n"
            "        outcomes = await self._sender.resend([(item, delivery.ambiguous) for delivery, item in ready], alone)\n"
            "        await self._settle(marked, ())"
        ),
    ),
    "released-although-it-may-have-been-sent": (
        "goldwire.relay.relay",
        "if self._cursor.position >= self._unclear_upto:\n            await self._call(self._store.release",
        "if self._cursor.position >= 0:\n            await self._call(self._store.release",
    ),
    "chunk-across-two-revisions": (
        "goldwire.relay.relay",
        "upto = self._contracts.last_position_of(after + 1, bound)",
        "upto = bound",
    ),
    "contract-of-the-position-before": (
        "goldwire.relay.relay",
        "self._contracts.at(after + 1), self._unclear_upto)",
        "self._contracts.at(after), self._unclear_upto)",
    ),
    "old-contract-for-one-position-more": (
        "goldwire.relay.contract_revisions",
        "return min(upto, self._after[following])",
        "return min(upto, self._after[following] + 1)",
    ),
    "rewound-under-way": ("goldwire.relay.relay", "await self._refuse_if_taken_over()", "pass"),
    "lane-repeats-what-is-held": (
        "goldwire.relay.relay",
        "if held is not None and row.version <= held.version:\n                work.superseded(delivery)",
        "if held is not None and row.version < held.version:\n                work.superseded(delivery)",
    ),
    "begun-but-not-written-down": (
        "goldwire.relay.replay",
        "elif self._replay != before:\n            await self._save()",
        "elif self._replay != before:\n            pass",
    ),
    "replay-renewed-skips-one": (
        "goldwire.relay.replay",
        "if one.row.version >= next_version]",
        "if one.row.version > next_version]",
    ),
    "replay-forgets-those-that-wait": (
        "goldwire.relay.replay",
        "self._take(await self._gather(wanted))\n        selection",
        "selection",
    ),
    "replay-blind-to-the-proof-of-silence": (
        "goldwire.relay.rebuild",
        "elif held is not None:\n                held = held._replace(presence=sealed)",
        "elif held is None:\n                continue",
    ),
    "bounded-replay-one-short": (
        "goldwire.relay.replay_source",
        "if one.row.seq <= upto]",
        "if one.row.seq < upto]",
    ),
    "replay-waits-behind-a-dead-letter": (
        "goldwire.relay.replay_source",
        'elif lane[0].state == "dead":',
        'elif unclear.state == "dead":',
    ),
    "resync-passes-over-what-left": (
        "goldwire.relay.resync",
        'if held.revision == self._newest.revision and held.presence == "in":',
        "if held.revision == self._newest.revision:",
    ),
    "resync-leaves-to-the-log-what-an-old-contract-seals": (
        "goldwire.relay.resync",
        "if row.seq > max(self._left_to_log, self._cursor.position) and row.concerns(target):",
        "if row.seq > self._cursor.position and row.concerns(target):",
    ),
    "resync-overtakes-the-old-contract": (
        "goldwire.relay.resync",
        "if cursor.position < max(resync.upto, self._contracts.newest_effective_after):",
        "if cursor.position < resync.upto:",
    ),
    "resync-begins-its-second-turn-where-the-first-ended": (
        "goldwire.relay.resync",
        'ended = replace(resync, turn=2, after="")',
        "ended = replace(resync, turn=2)",
    ),
    "resync-blind-to-classification": (
        "goldwire.relay.effect",
        "and (sent.classification, sent.retention_days) == (fresh.classification, fresh.retention_days)",
        "and sent.version == fresh.version",
    ),
    "retried-removal-counts-again": (
        "goldwire.relay.mass_guard",
        "self._let_go.update(rows[index].seq for index in going)",
        "pass",
    ),
    "failed-probe-keeps-the-way-shut": (
        "goldwire.relay.pace",
        "self._probe_out = False\n        wait = wait_seconds",
        "wait = wait_seconds",
    ),
    "memory-takes-a-version-twice": (
        "goldwire.targets.memory.target",
        "if versions.get(entity_id, 0) >= event.version:",
        "if versions.get(entity_id, 0) > event.version:",
    ),
}

KIT_BUGS: dict[str, tuple[str, str, str]] = {
    "held-version-applied-again": (
        "goldwire_consumer.verdict",
        "if held is not None and event.version <= held.version:",
        "if held is not None and event.version < held.version:",
    ),
    "late-event-of-another-chain-links": (
        "goldwire_consumer.verdict",
        "if event.version < held.version or event.hash == held.hash:",
        "if event.hash == held.hash:",
    ),
    "reason-of-the-tombstone-not-kept": (
        "goldwire_consumer.verdict",
        "return Held(event.version, event.hash, event.reason, parked)",
        "return Held(event.version, event.hash, None, parked)",
    ),
    "handled-before-the-version-is-held": (
        "goldwire_consumer.guard",
        "guard.hold(event.entity_id, held, taken(event))\n    handle(event)",
        "handle(event)\n    guard.hold(event.entity_id, held, taken(event)._replace(version=event.version - 1))",
    ),
    "full-event-folded-onto-the-old-record": (
        "goldwire_consumer.fold",
        'if record is None or event.payload == "full" else record',
        "if record is None else record",
    ),
    "removed-edge-stays": ("goldwire_consumer.fold", "found.pop(key, None)", "found.setdefault(key, edge)"),
    "external-ids-of-the-first-event": (
        "goldwire_consumer.fold",
        "external_ids=to_builtins(event.external_ids),",
        "external_ids=before.external_ids or to_builtins(event.external_ids),",
    ),
}
"""Those in the kit for subscribers, which the simulation with a broker has to catch."""

FRESH_BUGS: dict[str, tuple[str, str, str]] = {**_MASTERING, **_CHANGELOG, **_CONTRACT_AND_EVENT, **_RELAY}
"""By name: in which module which passage becomes which."""
