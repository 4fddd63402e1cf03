"""Accepted is stored: what a column cannot hold exactly is a dead letter that names the column."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Outcome, Rejected, Unavailable
from goldwire.targets.sql.bulk_load import LEAST_ROWS
from goldwire.testing.events import sealed
from support.sql_table import Table, crm, numbers


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def made(database: Any, columns: str, key_type: str = "", **settings: Any) -> Table:
    """Return a target on a table that its owner made."""
    names = {column.split()[0]: column.split()[0] for column in columns.split("; ")}
    table = Table(database, columns=names, **settings)
    text = "VARCHAR(255) COLLATE utf8mb4_bin" if is_mariadb(database) else "VARCHAR(255)"
    database.query(
        f"CREATE TABLE {table.full} (id {key_type or text} PRIMARY KEY, {columns.replace('; ', ', ')}, "
        f"goldwire_entity_id {text}, goldwire_version BIGINT, "
        f"goldwire_timestamp {text}, goldwire_deleted BOOLEAN, goldwire_hash {text})"
    )
    return table


def is_mariadb(database: Any) -> bool:
    return str(database.url).startswith("mariadb")


def send(table: Table, *values: dict[str, Any]) -> list[Outcome]:
    return table.send(*(sealed(f"e{n}", 1, value, external_ids=[("crm", f"k{n}")]) for n, value in enumerate(values)))


def column_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason.startswith("column "), outcome.reason
    return outcome.reason.split()[1]


@pytest.mark.parametrize(
    ("column", "sent", "held"),
    [
        ("v NUMERIC(10,2)", "12.30", "12.30"),
        ("v NUMERIC(10,2)", 12.3, "12.30"),
        ("v NUMERIC(10,2)", 99999999.99, "99999999.99"),
        ("v NUMERIC(20,2)", "999999999999999999.99", "999999999999999999.99"),
        ("v NUMERIC(20,0)", "18446744073709551615", "18446744073709551615"),
        ("v BIGINT", "2033735037361704962", "2033735037361704962"),
        ("v BIGINT", "-9223372036854775808", "-9223372036854775808"),
        ("v DOUBLE PRECISION", "0.1", "0.1"),
        ("v DOUBLE PRECISION", 1e300, "1e+300"),
        ("v BOOLEAN", "yes", "True"),
        ("v BOOLEAN", "Y", "True"),
        ("v BOOLEAN", "t", "True"),
        ("v BOOLEAN", "no", "False"),
        ("v DATE", "2026-11-23T00:00:00Z", "2026-11-23"),
        ("v DATE", "2026-11-23 00:00:00", "2026-11-23"),
        ("v DATE", "2026-11-23", "2026-11-23"),
        ("v CHAR(5)", "ab", "ab"),
        ("v VARCHAR(5)", "ab   ", "ab   "),
    ],
)
def test_what_fits_is_stored_as_it_was_sent(database: Any, column: str, sent: Any, held: str) -> None:
    table = made(database, column)
    assert send(table, {"v": sent}) == [Delivered("k0")]
    ((found,),) = database.query(f"SELECT v FROM {table.full}")
    text = str(bool(found)) if "BOOLEAN" in column else str(found)
    assert (text.rstrip() if "CHAR(5)" in column and "VAR" not in column else text) == held


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        ("v NUMERIC(10,2)", "12.345"),
        ("v NUMERIC(10,2)", 12.345),
        ("v NUMERIC(10,2)", "123456789.00"),
        ("v NUMERIC(10,2)", "1e-400"),
        ("v NUMERIC(10,2)", "NaN"),
        ("v NUMERIC(10,2)", "1_000"),
        ("v REAL", 0.123456789012),
        ("v FLOAT(24)", 16777217),
        ("v DOUBLE PRECISION", "0.1234567890123456789"),
        ("v DOUBLE PRECISION", "1e-400"),
        ("v DOUBLE PRECISION", "1e400"),
        ("v BIGINT", "9223372036854775909"),
        ("v INTEGER", 2147483999),
        ("v SMALLINT", 32999),
        ("v DATE", "2026-11-23T10:00:00Z"),
        ("v VARCHAR(3)", "abcd"),
        ("v TIMESTAMP(0)", "2026-11-23T10:00:00.5Z"),
        ("v TIMESTAMP(6)", "2026-11-23T10:00:00.1234567Z"),
    ],
)
def test_what_a_column_would_narrow_is_a_dead_letter_that_names_it(database: Any, column: str, sent: Any) -> None:
    if is_mariadb(database) and "REAL" in column:
        column = column.replace("REAL", "FLOAT")
    table = made(database, f"{column}; name VARCHAR(20)")
    bad, good = send(table, {"v": sent, "name": "bad"}, {"v": None, "name": "good"})
    assert good == Delivered("k1")
    assert isinstance(bad, Rejected)
    assert re.search("column v[ ,]", bad.reason), bad.reason
    assert str(sent) not in bad.reason
    assert [row[3] for row in table.live()] == ["good"]


ODD = "tab\t, line\n, backslash \\N \\t, quote ' \" and 日本"


def test_many_rows_of_every_type_are_stored_as_they_were_sent_and_a_bad_one_harms_none(database: Any) -> None:
    json_type, charset = ("JSON", " CHARACTER SET utf8mb4") if is_mariadb(database) else ("JSONB", "")
    table = made(
        database,
        "i BIGINT; n NUMERIC(20,2); f DOUBLE PRECISION; b BOOLEAN; d DATE; z TIMESTAMP(6) NULL; "
        f"j {json_type}; name VARCHAR(60){charset}",
        types={"j": "json"},
    )
    values = [
        {
            "i": str(2**62 + n), "n": f"{10**17 + n}.25", "f": n / 7, "b": n % 2 == 0, "d": "2026-11-23",
            "z": f"2026-11-23T10:00:{n % 60:02}.000001Z", "j": {"a": [n, None, "x"]}, "name": None if n == 5 else f"{ODD} {n}",
        }
        for n in range(500)
    ]  # fmt: skip
    values[250]["name"] = "x" * 61
    values[251]["n"] = "1" * 25
    outcomes = send(table, *values)
    assert [n for n, outcome in enumerate(outcomes) if outcome != Delivered(f"k{n}")] == [250, 251]
    assert column_of(outcomes[250]) == "name"
    assert isinstance(outcomes[251], Rejected)
    text = "CAST(n AS CHAR)" if is_mariadb(database) else "n::text"
    rows = database.query(f"SELECT id, i, {text}, f, name FROM {table.full} WHERE id IN ('k5', 'k499') ORDER BY i")
    assert rows == [
        ("k5", 2**62 + 5, f"{10**17 + 5}.25", 5 / 7, None), ("k499", 2**62 + 499, f"{10**17 + 499}.25", 499 / 7, f"{ODD} 499")
    ]  # fmt: skip
    newer = [
        sealed(f"e{n}", 2, value, external_ids=[("crm", f"k{n}")]) for n, value in enumerate(values) if n not in (250, 251)
    ]
    assert {type(outcome) for outcome in table.send(*newer)} == {Delivered}
    assert database.query(f"SELECT min(goldwire_version), count(*) FROM {table.full}") == [(2, 498)]


def test_unsigned_columns_take_twenty_digits(mariadb: Any) -> None:
    table = made(mariadb, "v BIGINT UNSIGNED")
    good, beyond, below = send(table, {"v": "18446744073709551615"}, {"v": "18446744073709551616"}, {"v": -1})
    assert good == Delivered("k0")
    assert (column_of(beyond), column_of(below)) == ("v", "v")
    assert mariadb.query(f"SELECT v FROM {table.full}") == [(18446744073709551615,)]


def test_a_text_that_the_column_cannot_hold_is_refused_with_its_name(postgresql: Any) -> None:
    table = made(postgresql, "v TEXT")
    assert column_of(send(table, {"v": "a\0b"})[0]) == "v"


def test_times_arrive_in_any_zone_of_the_server(postgresql: Any) -> None:
    postgresql.query("ALTER DATABASE postgres SET timezone = 'America/New_York'")
    try:
        table = made(postgresql, "z TIMESTAMPTZ; n TIMESTAMP")
        moment = "2026-03-08T02:30:00"  # an hour that New York does not have
        assert send(table, {"z": moment, "n": f"{moment}+02:00"}) == [Delivered("k0")]
        assert postgresql.query(f"SELECT extract(epoch FROM z), n::text FROM {table.full}") == [
            (Decimal("1772937000.000000"), "2026-03-08 00:30:00")
        ]
    finally:
        postgresql.query("ALTER DATABASE postgres RESET timezone")


def test_times_arrive_whatever_zone_and_mode_mariadb_has(mariadb: Any) -> None:
    before = mariadb.query("SELECT @@global.time_zone, @@global.sql_mode")[0]
    mariadb.query("SET GLOBAL time_zone = '-05:00'")
    mariadb.query("SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'")
    try:
        table = made(mariadb, "z TIMESTAMP(6) NULL; n DATETIME(6); c CHAR(5); name VARCHAR(3)")
        good = {"z": "2026-03-08T02:30:00Z", "n": "2026-03-08T02:30:00+02:00", "c": "a\\'b", "name": "abc"}
        first, second = send(table, good, {**good, "name": "abcd"})
        assert first == Delivered("k0")
        assert column_of(second) == "name"
        assert mariadb.query(f"SELECT unix_timestamp(z), CAST(n AS CHAR), trim(c) FROM {table.full}") == [
            (Decimal("1772937000.000000"), "2026-03-08 00:30:00.000000", "a\\'b")
        ]
    finally:
        mariadb.query("SET GLOBAL time_zone = %s", before[0])
        mariadb.query("SET GLOBAL sql_mode = %s", before[1])


def keys(database: Any, kind: str) -> str:
    return {
        "nocase": "VARCHAR(50) COLLATE utf8mb4_general_ci" if is_mariadb(database) else "citext",
        "integer": "BIGINT",
        "padded": "CHAR(10)" + (" COLLATE utf8mb4_bin" if is_mariadb(database) else ""),
    }[kind]


@pytest.fixture
def nocase(database: Any) -> Any:
    if not is_mariadb(database):
        try:
            database.query("CREATE EXTENSION IF NOT EXISTS citext")
        except psycopg.Error as error:
            pytest.skip(f"this PostgreSQL comes without citext: {type(error).__name__}")
    return database


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [("nocase", "AB1", "ab1"), ("nocase", "STRASSE", "strasse"), ("integer", "7", "007"), ("padded", "k", "k ")],
)
def test_a_key_that_the_column_takes_for_another_one_never_overwrites_its_row(
    nocase: Any, kind: str, first: str, second: str, together: bool
) -> None:
    table = made(nocase, "name VARCHAR(20)", keys(nocase, kind))
    records = [crm("a", 1, first, name="upper Ann"), crm("b", 1, second, name="lower Bob")]
    outcomes = table.send(*records) if together else [table.send(record)[0] for record in records]
    delivered = [outcome for outcome in outcomes if isinstance(outcome, Delivered)]
    assert len(delivered) == 1
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert column_of(refused) == "id"
    ((held, entity, version, name),) = table.live()
    assert (str(held).rstrip(), entity, version, name) == (first, "a", 1, "upper Ann")


def rule(database: Any, table: Table) -> None:
    """Make the owner's own rule: no city called forbidden."""
    if is_mariadb(database):
        database.query(
            f"CREATE TRIGGER warehouse.{table.name}_c BEFORE INSERT ON {table.full} FOR EACH ROW "
            "IF NEW.city = 'forbidden' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not forbidden Rome'; END IF"
        )
        return
    database.query(
        f"CREATE FUNCTION {table.name}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.city = 'forbidden' THEN "
        "RAISE EXCEPTION 'not %%', new.city; END IF; RETURN new; END $$"
    )
    database.query(f"CREATE TRIGGER c BEFORE INSERT OR UPDATE ON {table.full} FOR EACH ROW EXECUTE FUNCTION {table.name}_f()")


def test_a_row_that_the_tables_own_rule_refuses_counts_its_attempts_and_harms_no_other(database: Any) -> None:
    table = made(database, "name VARCHAR(20); city VARCHAR(20)")
    rule(database, table)
    cities = ["Rome", "forbidden", "Oslo", "Bonn", "Kiel", "Lima", "Bern"]
    outcomes = send(table, *({"name": city, "city": city} for city in cities))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Unavailable, *[Delivered] * 5]
    refused = outcomes[1]
    assert isinstance(refused, Unavailable)
    assert refused.counted
    assert "a rule of the table" in refused.reason
    assert "forbidden" not in refused.reason
    assert len(table.live()) == 6


def test_a_rule_that_changes_a_value_is_noticed_unless_the_column_may_differ(postgresql: Any) -> None:
    for may_differ in ((), ("city",)):
        table = made(postgresql, "name TEXT; city TEXT", may_differ=may_differ)
        postgresql.query(
            f"CREATE FUNCTION {table.name}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.city = upper(new.city); "
            "RETURN new; END $$"
        )
        postgresql.query(f"CREATE TRIGGER c BEFORE INSERT ON {table.full} FOR EACH ROW EXECUTE FUNCTION {table.name}_f()")
        lower, upper = send(table, {"name": "n", "city": "Rome"}, {"name": "n", "city": "ROME"})
        assert upper == Delivered("k1")
        if may_differ:
            assert lower == Delivered("k0")
        else:
            assert column_of(lower) == "city"


def test_a_row_that_a_rule_keeps_out_without_a_word_is_not_delivered(postgresql: Any) -> None:
    table = made(postgresql, "name TEXT; city TEXT")
    postgresql.query(
        f"CREATE FUNCTION {table.name}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.city = 'Rome' THEN RETURN NULL; "
        "END IF; RETURN new; END $$"
    )
    postgresql.query(f"CREATE TRIGGER c BEFORE INSERT ON {table.full} FOR EACH ROW EXECUTE FUNCTION {table.name}_f()")
    kept_out, passed = send(table, {"name": "n", "city": "Rome"}, {"name": "n", "city": "Oslo"})
    assert passed == Delivered("k1")
    assert isinstance(kept_out, Unavailable)
    assert kept_out.counted


def test_a_generated_column_ends_at_opening(database: Any) -> None:
    generated = (
        "VARCHAR(90) GENERATED ALWAYS AS (concat(id, 'x'))" if is_mariadb(database) else "TEXT GENERATED ALWAYS AS (id || 'x')"
    )
    table = made(database, f"name {generated} STORED; city VARCHAR(20)")
    with pytest.raises(ConfigError, match=r"column name of .* is generated by the database"):
        send(table, {"name": "n", "city": "Rome"})


def test_the_key_may_be_a_number(database: Any) -> None:
    table = made(database, "name VARCHAR(20)", "NUMERIC(20,0)")
    assert table.send(crm("a", 1, "18446744073709551615")) == [Delivered("18446744073709551615")]
    assert table.send(crm("a", 2, "18446744073709551615", name="new")) == [Delivered("18446744073709551615")]
    assert [(str(row[0]), row[3]) for row in table.live()] == [("18446744073709551615", "new")]


@pytest.mark.parametrize("type_", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])
@pytest.mark.parametrize("sent", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_a_time_that_no_year_of_utc_has_is_a_dead_letter_and_takes_no_neighbour_along(
    database: Any, type_: str, sent: str
) -> None:
    table = made(database, f"v {'DATETIME(6)' if is_mariadb(database) else type_}; name VARCHAR(20)")
    bad, good = send(table, {"v": sent, "name": "bad"}, {"v": "9999-12-31T23:59:59Z", "name": "good"})
    assert column_of(bad) == "v"
    assert good == Delivered("k1")
    assert [row[3] for row in table.live()] == ["good"]


def test_a_time_beyond_pythons_that_a_rule_of_the_table_makes_takes_no_neighbour_along(postgresql: Any) -> None:
    table = made(postgresql, "v TIMESTAMP WITH TIME ZONE; name VARCHAR(20)")
    postgresql.query(
        f"CREATE FUNCTION {table.name}_far() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.name = 'bad' THEN NEW.v := '10000-01-01 00:00:00+00'; END IF; RETURN NEW; END $$"
    )
    postgresql.query(
        f"CREATE TRIGGER far BEFORE INSERT OR UPDATE ON {table.full} FOR EACH ROW EXECUTE FUNCTION {table.name}_far()"
    )
    bad, good = send(table, {"v": "9999-12-31T23:59:59Z", "name": "bad"}, {"v": "9999-12-31T23:59:59Z", "name": "good"})
    assert isinstance(bad, Rejected)
    assert good == Delivered("k1")
    assert [row[3] for row in table.live()] == ["good"]


KEYS = ["PRIMARY KEY (id) DEFERRABLE", "UNIQUE (id) DEFERRABLE INITIALLY DEFERRED", "PRIMARY KEY (id), UNIQUE (id) DEFERRABLE"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_may_be_checked_late_is_refused_at_opening_with_the_statement_that_mends_it(
    postgresql: Any, key: str
) -> None:
    table = Table(postgresql, columns={"v": "v"})
    postgresql.query(
        f"CREATE TABLE {table.full} (id TEXT, v TEXT, goldwire_entity_id TEXT, goldwire_version BIGINT, "
        f"goldwire_timestamp TEXT, goldwire_deleted BOOLEAN, goldwire_hash TEXT, {key})"
    )
    with pytest.raises(ConfigError, match=r"is DEFERRABLE, .* run: ALTER TABLE public\.") as caught:
        send(table, {"v": "x"})
    postgresql.query(str(caught.value).partition("run: ")[2])
    assert send(table, {"v": "x"}) == [Delivered("k0")]


def test_a_table_of_tombstones_whose_key_may_be_checked_late_is_refused(postgresql: Any) -> None:
    table = Table(postgresql, tombstone_table="late_tombstone")
    postgresql.query(
        "CREATE TABLE late_tombstone (target_table TEXT, entity_id TEXT, timestamp TEXT, version BIGINT, "
        "PRIMARY KEY (target_table, entity_id) DEFERRABLE)"
    )
    with pytest.raises(ConfigError, match="of late_tombstone is DEFERRABLE") as caught:
        table.send(crm("a", 1, "K1"))
    postgresql.query(str(caught.value).partition("run: ")[2])
    assert table.send(crm("a", 1, "K1")) == [Delivered("K1")]


def test_a_state_of_an_object_that_refuses_one_row_is_no_outage(postgresql: Any) -> None:
    table = made(postgresql, "name TEXT")
    postgresql.query(
        f"CREATE FUNCTION {table.name}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'bad' THEN "
        "RAISE EXCEPTION 'no' USING ERRCODE = '55000'; END IF; RETURN NEW; END $$"
    )
    postgresql.query(f"CREATE TRIGGER t BEFORE INSERT ON {table.full} FOR EACH ROW EXECUTE FUNCTION {table.name}_f()")
    bad, good = send(table, {"name": "bad"}, {"name": "good"})
    assert isinstance(bad, Unavailable)
    assert bad.counted
    assert good == Delivered("k1")


@pytest.mark.parametrize("count", [1, 5, LEAST_ROWS])
def test_a_value_of_a_type_of_the_owners_is_stored_the_same_however_many_rows_are_sent(postgresql: Any, count: int) -> None:
    number = next(numbers)
    postgresql.query(f"CREATE DOMAIN word_{number} AS text")
    postgresql.query(f"CREATE DOMAIN flag_{number} AS boolean")
    postgresql.query(f"CREATE DOMAIN amount_{number} AS numeric")
    table = made(postgresql, f"v word_{number}; f flag_{number}; a amount_{number}; i interval; name text")
    texts = [
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (0.00001, "0.00001"),
        (1e21, "1e+21"),
        ([1, None], "[1,null]"),
        ("x", "x"),
    ]
    for n, (word, text) in enumerate(texts):
        is_flag = isinstance(word, bool)
        given = {"v": word, "f": word if is_flag else None, "a": word if isinstance(word, float) else 7, "i": "1 day"}
        records = [sealed(f"e{n}-{m}", 1, given, external_ids=[("crm", f"k{n}-{m}")]) for m in range(count)]
        assert set(map(type, table.send(*records))) == {Delivered}
        rows = postgresql.query(f"SELECT DISTINCT v::text, f::text FROM {table.full} WHERE id LIKE 'k{n}-%%'")
        assert rows == [(text, text if is_flag else None)]
