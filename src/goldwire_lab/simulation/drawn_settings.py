"""Draws what a person sets of a target beside its contract: pace and limits, guards, where it begins, what stands behind."""

from __future__ import annotations

from random import Random

from goldwire.changelog.rows import Mode, Start
from goldwire.relay.settings import DeliverySettings, GuardSettings
from goldwire.targets.sql import SqlSettings

SQL_COLUMNS = ({"name": "name", "email": "email", "city": "city"}, {"who": "name", "town": "city", "mark": "note"})
"""Column: attribute."""

MADE_BEFORE = 0.3
"""How likely a table is there already."""

NOT_DRAWN = {
    "SqlSettings.url": "a file of SQLite, another one in each seed",
    "SqlSettings.key": "a key that passes from one record to another makes one row of two entities; the plain model of rows "
    "has one for each",
    "SqlSettings.missing_key": "the same: it is about keys that are external ids",
    "SqlSettings.tables": "the plain model of rows has one table; tested against a naive model in tests/integration/targets",
    "SqlSettings.edges": "the same",
    "SqlSettings.schema": "SQLite knows no schemas but those of attached files; tested against MariaDB",
    "SqlSettings.types": "what fits which column is a property of one value; tested value by value in tests/unit/targets",
    "SqlSettings.may_differ": "it takes a rule of the table that changes values; tested with triggers in tests/unit/targets",
    "SqlSettings.lock_timeout_seconds": "it is a wait in SQLite's own time, which no virtual clock moves",
    "SqlSettings.connect_timeout_seconds": "SQLite connects to nothing; tested against real servers",
    "SqlSettings.answer_timeout_seconds": "SQLite answers in line; tested against real servers",
}
"""Settings that every seed leaves at their defaults, each with the reason."""


_MODES: tuple[Mode, ...] = ("latest", "every")


def draw_delivery(random: Random, mode: Mode | None) -> DeliverySettings:
    """Return the `delivery:` block of one run of a relay.

    Args:
        random: what is drawn with.
        mode: what it must be; None: it changes between two runs.
    """
    drawn: Mode = random.choice(_MODES)
    return DeliverySettings(
        mode=drawn if mode is None else mode,
        batch_size=random.choice((1, 2, 5, 100)),
        concurrency=random.choice((1, 1, 2, 8)),
        chunk_size=random.choice((1, 3, 10, 1000)),
        timeout_seconds=random.choice((3.0, 10.0, 10.0, 30.0)),
        max_attempts=random.choice((1, 3, 8)),
        backoff_seconds=random.choice((0.1, 0.5, 2.0)),
        backoff_limit_seconds=random.choice((5.0, 20.0, 60.0)),
        wait_limit_seconds=random.choice((1.0, 60.0, 86_400.0)),
        outage_limit_seconds=random.choice((300.0, 5_000.0, 1_209_600.0)),
        breaker_failures=random.choice((1, 2, 5)),
        dead_letter_ratio=random.choice((0.05, 0.2, 1.0)),
        dead_letter_minimum=random.choice((2, 20)),
        rate_limit_per_second=random.choice((None, None, 50.0, 2.0)),
        poll_seconds=random.choice((0.1, 0.5, 0.5, 5.0)),
    )


def draw_guards(random: Random) -> GuardSettings:
    """Return the `guards:` block of a target: mostly as it is by default, so wide that a seed never comes to it."""
    if random.random() < 0.6:
        return GuardSettings()
    return GuardSettings(
        removal_ratio=random.choice((0.0, 0.05, 0.5)),
        removal_minimum=random.choice((0, 1, 2)),
        change_ratio=random.choice((0.0, 0.3, 1.0)),
        change_minimum=random.choice((0, 1, 3)),
        span_seconds=random.choice((5.0, 60.0, 3_600.0)),
    )


def draw_start(name: str, random: Random) -> Start:
    """Return where a target begins that the store has never seen."""
    starts: dict[str, tuple[Start, ...]] = {
        "every": ("beginning", "beginning", "snapshot", "now"),
        "latest": ("snapshot", "snapshot", "beginning"),
        "snapshot": ("snapshot", "snapshot", "now"),
    }
    return random.choice(starts[name])


def draw_sql(file: str, random: Random) -> SqlSettings:
    """Return the settings of a table that stands in a file of SQLite."""
    named = random.random() < 0.3
    return SqlSettings(
        url=f"sqlite:///{file}",
        table=random.choice(("customer", "Golden Records")),
        columns=random.choice(SQL_COLUMNS),
        key="entity_id",
        key_column=random.choice(("id", "key")),
        delete=random.choice(("soft", "physical")),
        create_table=random.random() >= MADE_BEFORE,
        entity_column="entity" if named else "goldwire_entity_id",
        version_column="its version" if named else "goldwire_version",
        timestamp_column="written" if named else "goldwire_timestamp",
        deleted_column="gone" if named else "goldwire_deleted",
        hash_column="proof" if named else "goldwire_hash",
        tombstone_table="tombstones" if named else "goldwire_tombstone",
    )
