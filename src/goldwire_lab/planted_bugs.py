"""The planted bugs by name: in which module which passage becomes which. Each breaks a promise as somebody once did."""

from __future__ import annotations

PLANTED_BUGS: dict[str, tuple[str, str, str]] = {
    "settle-before-send": (
        "goldwire.relay.relay",
        "await chunk.send(sending, items, self._sender, self._policy, self._clock.now)",
        (
            "asyncio = __import__('asyncio'); asyncio.ensure_future(self._sender.send(items)); "
            "await chunk.send(sending, items, type('Blind', (), {'send': "
            "lambda _, sent: asyncio.sleep(0, [Delivered()] * len(sent))})(), self._policy, self._clock.now)"
        ),
    ),
    "fence-without-deletes": (
        "goldwire.targets.memory.target",
        "versions[entity_id] = event.version",
        "versions[entity_id] = 0 if event.deleted else event.version",
    ),
    "lane-keyed-by-target": (
        "goldwire.changelog.sqlite.queries",
        "AND f.entity_id = o.entity_id AND f.seq < o.seq AND f.state <> 'discarded')\nORDER BY o.due_at LIMIT 1",
        "AND f.seq < o.seq AND f.state <> 'discarded')\nORDER BY o.due_at LIMIT 1",
    ),
    "cursor-past-a-failure": ("goldwire.relay.chunk", "for row, outcome in failed:", "for row, outcome in failed[:0]:"),
    "two-of-an-entity-in-flight": ("goldwire.relay.chunk", "in_flight.add(entity_id)", "in_flight.add(row.correlation_id)"),
    "blocked-entity-overtaken": ("goldwire.relay.chunk", "if entity_id in self._blocked:", "if entity_id is None:"),
    "failure-does-not-block": (
        "goldwire.relay.chunk",
        'self._blocked[delivery.entity_id] = delivery.state == "dead"',
        "pass",
    ),
    "stale-predecessor": ("goldwire.relay.chunk", "self._held[control.entity_id] = control", "pass"),
    "no-fence-after-rewind": (
        "goldwire.relay.chunk",
        "if held is not None and row.version <= held.version:",
        "if held is None and row.version < 0:",
    ),
    "delta-against-the-version-before": (
        "goldwire.relay.chunk",
        "wanted.append((row.entity_id, held.version))",
        "wanted.append((row.entity_id, row.version - 1))",
    ),
    "resend-not-marked": (
        "goldwire.relay.lanes",
        "marked.append(head._replace(ambiguous=True))",
        "marked.append(head)",
    ),
    "coalesced-over-an-unclear-outcome": (
        "goldwire.relay.lanes",
        "index = next((i for i, delivery in enumerate(lane) if delivery.ambiguous), len(lane) - 1)",
        "index = len(lane) - 1",
    ),
    "next-in-lane-forgotten": (
        "goldwire.relay.lanes",
        'if waiting and waiting[0].state != "dead":',
        'if waiting and waiting[0].state == "":',
    ),
    "dead-letter-parks-nothing": (
        "goldwire.relay.lanes",
        'if judged.state == "dead":',
        'if judged.state == "":',
    ),
    "crash-taken-for-a-clean-end": (
        "goldwire.relay.chunk",
        "ambiguous=row.seq <= self._unclear_upto",
        "ambiguous=False",
    ),
    "unknown-taken-for-refused": (
        "goldwire.relay.retry_policy",
        "ambiguous=delivery.ambiguous or type(outcome) is Unknown,",
        "ambiguous=False,",
    ),
    "time-out-taken-for-success": (
        "goldwire.relay.connection",
        'return [Unknown(f"no answer within',
        'return [Duplicate()] * len(batch) or [Unknown(f"no answer within',
    ),
    "outcomes-of-the-wrong-items": (
        "goldwire.relay.sender",
        "outcomes[start : start + len(batch)] = answers",
        "outcomes[start : start + len(batch)] = answers[::-1]",
    ),
    "coalescing-beyond-the-window": (
        "goldwire.relay.relay",
        "self._store.read_latest, self._name, after, upto, bound, limit)",
        "self._store.read_latest, self._name, after, upto, 2**62, limit)",
    ),
    "look-up-believes-any-version": (
        "goldwire.relay.sender",
        "if version is not None and version >= item.event.version",
        "if version is not None",
    ),
    "contract-changes-what-was-sent": (
        "goldwire.changelog.sqlite.documents",
        "found.cursor.reach",
        "found.cursor.position",
    ),
    "settlement-in-two-transactions": (
        "goldwire.changelog.sqlite.settlements",
        'database.checkpoint("settle:after-open")',
        """[database.connection.execute(s) for s in ('COMMIT', 'BEGIN IMMEDIATE')]; database.checkpoint("settle:after-open")""",
    ),
    "log-and-heads-in-two-transactions": (
        "goldwire.changelog.sqlite.heads",
        'self._database.checkpoint("ingest:after-log")',
        """[self._database.execute(s) for s in ('COMMIT', 'BEGIN IMMEDIATE')]; self._database.checkpoint("ingest:after-log")""",
    ),
    "rewind-keeps-the-counters": (
        "goldwire.changelog.sqlite.queries",
        "delivered = delivered - ?, filtered",
        "delivered = delivered - 0 * ?, filtered",
    ),
    "log-time-follows-the-clock": (
        "goldwire.changelog.sqlite.heads",
        "timestamp(now) if newest is None else max(timestamp(now), just_after(newest.committed_at))",
        "timestamp(now)",
    ),
    "contracts-read-before-the-window": (
        "goldwire.relay.relay",
        "reach=max(cursor.reach, reach))\n        await self._refresh_contracts()",
        "reach=max(cursor.reach, reach))",
    ),
    "repeat-sealed-by-the-newest-contract": (
        "goldwire.relay.lanes",
        "if not head.ambiguous:\n                head = head._replace(revision=revision)",
        "head = head._replace(revision=revision)",
    ),
    "parked-behind-a-discarded-letter": (
        "goldwire.changelog.sqlite.settlements",
        "for lane in lanes_of(database, number, waiting).values():",
        "for lane in lanes_of(database, number, ()).values():",
    ),
    "cancelled-send-taken-for-not-sent": (
        "goldwire.relay.connection",
        'return [Unknown("the target cancelled its own work")]',
        'return [Unavailable("the target cancelled its own work")]',
    ),
    "retry-waits-for-a-clock-set-back": (
        "goldwire.relay.relay",
        'return [row for row in waiting if row.reason != ASKED_TO_WAIT or (row.last_attempt_at or "") > timestamp(now)]',
        "return due",
    ),
    "leaving-the-filter-unsaid": ("goldwire.event.seal", "if contract.deselect:", "if contract.deselect is None:"),
    "tombstone-not-sent": ("goldwire.event.seal", "if not contract.deleted_sent:", "if row.kind == 'merged':"),
    "replay-beside-live-traffic": (
        "goldwire.relay.relay",
        "chunk.hold(self._replays.held)",
        "chunk.hold(())",
    ),
    "replay-beside-a-retry": (
        "goldwire.relay.relay",
        "if delivery.entity_id not in held][:limit]",
        "if delivery.entity_id][:limit]",
    ),
    "replay-with-the-newest-predecessor": (
        "goldwire.relay.rebuild",
        "sealed = seal(contract, row, held, base_state",
        "sealed = seal(contract, row, past.control, base_state",
    ),
    "replay-sealed-by-the-revision-of-its-position": (
        "goldwire.relay.rebuild",
        "contracts.at(row.seq) if revision is None else contracts.revision(revision)",
        "contracts.at(row.seq)",
    ),
    "replay-not-proven": (
        "goldwire.relay.rebuild",
        "return sent if confirmed else None",
        "return sent",
    ),
    "replay-past-an-unclear-delivery": (
        "goldwire.relay.replay_source",
        "if delivery.ambiguous), None)",
        "if False), None)",
    ),
    "replay-before-the-unclear-has-ended": (
        "goldwire.relay.relay",
        "clear=cursor.position >= self._unclear_upto",
        "clear=True",
    ),
    "replay-forgets-what-was-begun": (
        "goldwire.relay.replay",
        "self._take(await self._gather(found.begun, begun=True))",
        "pass",
    ),
    "replay-goes-on-after-a-refusal": (
        "goldwire.relay.replay",
        """self._observer.replayed("skipped", skipped)
        self._end(repeat)""",
        """repeat.index += 1
        self._end(repeat) if repeat.index == len(repeat.sent) else None""",
    ),
    "replay-leaves-a-receiver-behind": (
        "goldwire.relay.replay_source",
        "return [*inside, sent[-1]] if inside and inside[-1] is not sent[-1] else inside",
        "return inside",
    ),
    "replay-leaks-what-a-contract-hides-now": (
        "goldwire.relay.replay_source",
        " or not still_allowed(sent[index], present):",
        ":",
    ),
    "replay-leaks-what-was-erased": (
        "goldwire.relay.replay_source",
        "sent[index].row.version < erased or ",
        "",
    ),
    "replay-leaks-what-is-masked-now": (
        "goldwire.relay.replay_guard",
        " or (name in masks and name in now and now[name] != entry):",
        ":",
    ),
    "replay-leaks-hidden-external-ids": (
        "goldwire.relay.replay_guard",
        "return set(map(bytes, carried.externalIds)) <= set(map(bytes, shown))",
        "return carried is not None or shown",
    ),
    "replay-leaks-hidden-relations": (
        "goldwire.relay.replay_guard",
        "return len(shape.edges(plain)) == len(plain)",
        "return shape is not None or plain",
    ),
    "replay-leaks-what-is-filtered-now": (
        "goldwire.relay.replay_guard",
        "shown = seal(present, row, None, None)",
        "present.selects[row.entity_type] = lambda *_: True; shown = seal(present, row, None, None)",
    ),
    "replay-under-the-contract-it-began-with": (
        "goldwire.relay.replay",
        "elif newest != self._newest or await self._any_erased(position):",
        "elif await self._any_erased(position):",
    ),
    "replay-blind-to-erasures-once-begun": (
        "goldwire.relay.replay",
        "elif newest != self._newest or await self._any_erased(position):",
        "elif newest != self._newest:",
    ),
    "delta-keeps-silent-about-removed-relations": (
        "goldwire.event.seal",
        """edges = added + [b'{"op":"removed",%b' % edge[1:] for edge in removed]""",
        "edges = added",
    ),
    "delta-keeps-silent-about-external-ids": (
        "goldwire.event.seal",
        "if not changed and new == old and ids == shape.external_ids(base):",
        "if not changed and new == old:",
    ),
    "remaster-passes-over-entities": (
        "goldwire.changelog.sqlite.queries",
        "AND kind = 'live' AND version > 0 ORDER BY no LIMIT ?",
        "AND kind = 'live' AND version > 0 ORDER BY entity_id LIMIT ?",
    ),
    "resync-for-every-target": (
        "goldwire.changelog.rows",
        "return self.addressed_to is None or self.addressed_to == target",
        "return True",
    ),
    "resync-supersedes-for-others": (
        "goldwire.changelog.sqlite.queries",
        "AND a.addressed_to IS NOT NULL AND a.addressed_to <> ?))",
        "AND a.addressed_to IS NULL AND a.addressed_to <> ?))",
    ),
    "resync-without-what-enters": (
        "goldwire.relay.resync",
        '2: frozenset(("enters",))',
        "2: frozenset()",
    ),
    "resync-without-what-leaves": (
        "goldwire.relay.resync",
        'frozenset(("changes", "leaves"))',
        'frozenset(("changes",))',
    ),
    "resync-judges-by-the-newest-revision-alone": (
        "goldwire.relay.resync",
        "before = self._contracts.revision(held.revision)",
        "before = self._newest",
    ),
    "resync-passes-over-an-entity-of-each-page": (
        "goldwire.relay.resync",
        "rows = await self._call(self._store.head_page, resync.after, PAGE)",
        "rows = (await self._call(self._store.head_page, resync.after, PAGE))[-3:]",
    ),
    "resync-forgets-its-progress-with-its-rows": (
        "goldwire.changelog.sqlite.resyncs",
        "heads = Heads(database, now)",
        (
            "_save(database, resync); database.execute('COMMIT'); database.execute('BEGIN IMMEDIATE'); "
            "heads = Heads(database, now)"
        ),
    ),
    "resync-of-what-left-in-silence": (
        "goldwire.event.seal",
        'if presence == "gone" or (presence == "out" and not contract.deselect):',
        'if presence != "in":',
    ),
}
