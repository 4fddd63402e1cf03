"""Bugs of the kit and of the way to the broker, by name: in which module which passage becomes which."""

from __future__ import annotations

BUGS: dict[str, tuple[str, str, str]] = {
    "guard-forgets-tombstones": (
        "goldwire_consumer.verdict",
        "return Held(event.version, event.hash, event.reason, parked)",
        "return Held(0 if event.deleted else event.version, event.hash, event.reason, parked)",
    ),
    "older-versions-are-news": (
        "goldwire_consumer.verdict",
        "if held is not None and event.version <= held.version:",
        "if held is not None and event.version == held.version:",
    ),
    "checkpoint-before-apply": (
        "goldwire_consumer.consumer",
        "            positions = {}\n",
        (
            "            positions = {}\n"
            "            with self._store.transaction() as early:\n"
            "                [early.checkpoint(message.position) for message in messages]\n"
        ),
    ),
    "half-a-message-committed": (
        "goldwire_consumer.store.sqlite",
        'connection.execute("ROLLBACK")',
        'connection.execute("COMMIT")',
    ),
    "rest-of-a-batch-forgotten": ("goldwire_consumer.consumer", "waiting = waiting[count:]", "waiting = []"),
    "delta-taken-for-the-whole": (
        "goldwire_consumer.fold",
        'Record(attributes={}) if record is None or event.payload == "full" else record',
        "Record(attributes={})",
    ),
    "removed-attribute-kept": ("goldwire_consumer.fold", "attributes.pop(name, None)", "pass"),
    "relations-not-folded": ("goldwire_consumer.fold", "found[key] = edge", "pass"),
    "partition-by-round-robin": (
        "goldwire.targets.clients.backplane",
        "short(event.entity_id) if by_id else",
        "str(event.version) if by_id else",
    ),
    "lost-answer-taken-for-success": (
        "goldwire_lab.simulation.faults",
        'fates[index] = Unknown("the simulation lost it")',
        "fates[index] = Delivered()",
    ),
}
