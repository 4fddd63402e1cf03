"""A `sql` target with a table for each entity type and tables of edges, as a user meets it."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

CONFIGURATION = """\
store: {path: store.db}
types:
  Customer: {attributes: {name: {}, city: {}}, relations: {owns: {}}}
  Contact: {attributes: {name: {}, phone: {}}, relations: {worksFor: {}}}
sources:
  erp:
    {system: erp, type: Customer, id: id, attributes: {name: {column: name}, city: {column: city}},
     edges: [{rel: owns, system: fleet, column: car}]}
  crm:
    {system: crm, type: Contact, id: id, attributes: {name: {column: name}, phone: {column: phone}},
     edges: [{rel: worksFor, system: erp, column: firm}]}
contracts: {c: {golden: false, approval: any}}
targets:
  warehouse:
    kind: sql
    contract: c
    settings:
      url: sqlite:///out.db
      create_table: true
      tables:
        Customer: {table: customer, key: {external_id: erp}, columns: {name: name, city: city}}
        Contact: {table: contact, key: {external_id: crm}, columns: {name: name}}
      edges:
        worksFor: {table: works_for}
"""
CUSTOMERS = "id,name,city,car\n1,Ace,Rome,F1\n2,Best,Oslo,\n"
CONTACTS = "id,name,phone,firm\n1,Ann,555,1\n2,Bob,556,2\n3,Cy,557,\n"


def rows(shell: Any, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(shell.folder / "out.db")
    try:
        with connection:
            return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def delivered(shell: Any) -> Any:
    """The shell of a folder in which both types are delivered."""
    shell.write("goldwire.yaml", CONFIGURATION)
    shell.write("customers.csv", CUSTOMERS)
    shell.write("contacts.csv", CONTACTS)
    shell.run("apply")
    shell.run("ingest", "erp", "customers.csv")
    shell.run("ingest", "crm", "contacts.csv")
    shell.run("run", "--until-caught-up")
    return shell


def test_a_join_over_both_tables_and_their_edges_finds_who_works_where(delivered: Any) -> None:
    join = (
        "SELECT k.name, c.name FROM works_for e JOIN contact k ON k.id = e.from_id "
        "JOIN customer c ON c.id = e.to_id AND e.to_system = 'erp' ORDER BY 1"
    )
    assert rows(delivered, join) == [("Ann", "Ace"), ("Bob", "Best")]
    delivered.write("contacts.csv", CONTACTS.replace("Bob,556,2", "Bob,556,1"))
    delivered.run("ingest", "crm", "contacts.csv")
    delivered.run("run", "--until-caught-up")
    assert rows(delivered, join) == [("Ann", "Ace"), ("Bob", "Ace")]
    assert rows(delivered, "SELECT id, name, city FROM customer ORDER BY id") == [("1", "Ace", "Rome"), ("2", "Best", "Oslo")]


def test_a_column_of_one_table_and_a_new_table_of_edges_are_filled_for_all_that_was_delivered(delivered: Any) -> None:
    delivered.edit("columns: {name: name}}", "columns: {name: name, phone: phone}}")
    delivered.edit("worksFor: {table: works_for}", "worksFor: {table: works_for}\n        owns: {table: owns}")
    rows(delivered, "ALTER TABLE contact ADD COLUMN phone text")
    delivered.run("apply")
    delivered.run("run", "--until-caught-up")
    assert rows(delivered, "SELECT name, phone FROM contact ORDER BY id") == [("Ann", "555"), ("Bob", "556"), ("Cy", "557")]
    assert rows(delivered, "SELECT from_id, to_system, to_id FROM owns") == [("1", "fleet", "F1")]
    assert len(rows(delivered, "SELECT * FROM works_for")) == 2


def test_a_table_that_lost_a_column_stops_the_target_with_the_statement(delivered: Any) -> None:
    rows(delivered, "ALTER TABLE works_for DROP COLUMN goldwire_version")
    told = delivered.run("run", "--until-caught-up", code=2)
    assert "table works_for lacks goldwire_version" in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Contact: {table", "Contakt: {table", "Contakt is no known entity type; did you mean 'Contact'?"),
        ("columns: {name: name}}", "columns: {name: city}}", "city is no known attribute"),
        ("        worksFor: {", "        worksFro: {", "worksFro is no known relation; did you mean 'worksFor'?"),
        ("        Contact: {table: contact, key: {external_id: crm}, columns: {name: name}}\n", "", "has entity type Contact"),
        ("{table: works_for}", "{table: customer}", "table customer has two purposes"),
    ],
)
def test_names_that_the_contract_does_not_declare_are_refused_with_their_line(
    shell: Any, old: str, new: str, words: str
) -> None:
    shell.write("goldwire.yaml", CONFIGURATION)
    shell.edit(old, new)
    told = shell.fails("apply", code=2)
    assert words in told
    assert "goldwire.yaml:" in told


def test_a_second_target_on_one_of_the_tables_is_refused_by_apply(shell: Any) -> None:
    other = "  other: {kind: sql, contract: c, settings: {url: sqlite:///out.db, table: works_for, columns: {}}}\n"
    shell.write("goldwire.yaml", CONFIGURATION + other)
    assert "target 'other' writes where target 'warehouse' writes" in shell.fails("apply", code=2)
