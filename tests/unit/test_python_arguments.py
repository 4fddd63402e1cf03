"""What the Python API refuses: wrong types and values, and every call after `close`; each error names the parameter."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire import Goldwire
from goldwire.errors import GoldwireError, InputError, NotFoundError
from goldwire.python_api import ReplayRequest
from goldwire.services.starter import write_start

ROW = {"system": "crm", "externalId": "C-9", "entityType": "Customer", "attributes": {"city": "Turin"}}
SURROGATE = "\ud800"
HUGE = 2**63


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goldwire]:
    folder = tmp_path_factory.mktemp("arguments")
    write_start(folder)
    with Goldwire.open(folder / "goldwire.yaml") as goldwire:
        goldwire.apply()
        goldwire.ingest("crm", folder / "data" / "crm.csv")
        goldwire.run()
        yield goldwire


def call(goldwire: Goldwire, method: str, *values: Any, **named: Any) -> Any:
    found = getattr(goldwire, method)(*values, **named)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("apply", (), {"check": "yes"}, "`check` takes True or False, not a str"),
    ("ingest", (3,), {}, "`source` takes a str, not 3"),
    ("ingest", ("crm", 3), {}, "`files` takes a path or a list of paths, not 3"),
    ("ingest", ("crm", b"x.csv"), {}, "`files` takes a path or a list of paths, not a bytes"),
    ("ingest", ("crm", {"x.csv": 1}), {}, "`files` takes a path or a list of paths, not a dict"),
    ("ingest", ("crm", [None]), {}, "`files` takes a path: a str or a Path, not None"),
    ("ingest", ("crm", []), {}, "`files` names no file"),
    ("ingest", ("crm", "a\0b"), {}, "`files` holds a NUL"),
    ("ingest", ("crm", ""), {}, "`files` is empty"),
    ("ingest", ("crm",), {"rejects": 3}, "`rejects` takes a path: a str or a Path, not 3"),
    ("ingest", ("crm",), {"batch_size": 0}, "`batch_size` takes a whole number of at least 1, not 0"),
    ("ingest", ("crm",), {"batch_size": -1}, "`batch_size` takes a whole number of at least 1, not -1"),
    ("ingest", ("crm",), {"batch_size": True}, "`batch_size` takes a whole number of at least 1, not True"),
    ("ingest", ("crm",), {"batch_size": 1.5}, "`batch_size` takes a whole number of at least 1, not 1.5"),
    ("ingest", ("crm", "x.csv"), {"correlation_id": 7}, "`correlation_id` takes a str, not 7"),
    ("ingest", ("crm",), {"progress": 7}, "`progress` takes a function or None, not 7"),
    ("ingest_rows", (ROW,), {}, "`rows` takes a list of dicts, not a dict; write `[row]` for one row"),
    ("ingest_rows", ("x",), {}, "`rows` takes a list of dicts, not a str"),
    ("ingest_rows", (None,), {}, "`rows` takes a list of dicts, not None"),
    ("ingest_rows", ([ROW, "x"],), {}, "`rows` takes a list of dicts, not a str as row 2"),
    ("ingest_rows", ([{**ROW, "externalId": SURROGATE}],), {}, "cannot be written as JSON"),
    ("ingest_rows", ([ROW],), {"correlation_id": SURROGATE}, "`correlation_id` holds half of a surrogate pair"),
    ("run", (["events"],), {}, "`targets` takes each name by itself, not a list; write `*names`"),
    ("run", (3,), {}, "`targets` takes a str, not 3"),
    ("run", (), {"until_caught_up": 1}, "`until_caught_up` takes True or False, not 1"),
    ("run", (), {"progress": "print"}, "`progress` takes a function or None, not a str"),
    ("run_async", (("events",),), {}, "`targets` takes each name by itself, not a tuple"),
    ("run_async", (), {"until_caught_up": None}, "`until_caught_up` takes True or False, not None"),
    ("run_async", (), {"progress": 1}, "`progress` takes a function or None, not 1"),
    ("ledger", (["events"],), {}, "`targets` takes each name by itself, not a list"),
    ("ledger", (), {"recount": "no"}, "`recount` takes True or False, not a str"),
    ("entity", (3,), {}, "`name` takes a str, not 3"),
    ("entity", ("",), {}, "`name` is empty"),
    ("entity", (SURROGATE,), {}, "`name` holds half of a surrogate pair"),
    ("dead_letters", (["events"],), {}, "`target` takes a str, not a list"),
    ("dead_letters", (), {"limit": -1}, "`limit` takes a whole number of at least 1, not -1"),
    ("dead_letters", (), {"limit": HUGE}, "`limit` takes a whole number of at least 1, not a number beyond 63 bits"),
    ("dead_letter", ("events", "1"), {}, "`position` takes a whole number of at least 1, not a str"),
    ("dead_letter", (None, 1), {}, "`target` takes a str, not None"),
    ("redrive", ("events", [1, 2]), {}, "`positions` takes each number by itself, not a list; write `*positions`"),
    ("redrive", ("events", "1"), {}, "`positions` takes a whole number of at least 1, not a str"),
    ("redrive", ("events", HUGE), {}, "`positions` takes a whole number of at least 1, not a number beyond 63 bits"),
    ("redrive", (None,), {}, "`target` takes a str, not None"),
    ("discard", ("events", 0), {}, "`positions` takes a whole number of at least 1, not 0"),
    ("discard", (1, 1), {}, "`target` takes a str, not 1"),
    ("replay", (None,), {}, "`targets` takes a str, not None"),
    ("replay", ("events", {"since": "2026-01-01"}), {}, "`request` takes a ReplayRequest, not a dict"),
    ("replay", ("events", ReplayRequest(from_seq="3")), {}, "`from_seq` takes a whole number of at least 1, not a str"),  # type: ignore[arg-type] # it is what is tested
    ("replay", ("events", ReplayRequest(to_seq=0)), {}, "`to_seq` takes a whole number of at least 1, not 0"),
    ("replay", ("events", ReplayRequest(from_version=-1)), {}, "`from_version` takes a whole number of at least 1, not -1"),
    ("replay", ("events", ReplayRequest(to_version=-1)), {}, "`to_version` takes a whole number of at least 0, not -1"),
    ("replay", ("events", ReplayRequest(entities="crm/C-1")), {}, "`entities` takes a tuple of names, not a str; write `("),  # type: ignore[arg-type]
    ("replay", ("events", ReplayRequest(entities=(1,))), {}, "`entities` takes a str, not 1"),  # type: ignore[arg-type]
    ("replay", ("events", ReplayRequest(since=20260101)), {}, "`since` takes a str, not 20260101"),  # type: ignore[arg-type]
    ("replay", ("events", ReplayRequest(where=True)), {}, "`where` takes a str, not True"),  # type: ignore[arg-type]
    ("replay", ("events",), {"rate": True}, "the rate of a replay is a positive number"),
    ("replay", ("events",), {"why": None}, "`why` takes a str, not None"),
    ("apply", (), {"resend": None}, "`resend` takes True or False, not None"),
    ("resync", (None,), {}, "`targets` takes a str, not None"),
    ("resync", ("events", ["crm/C-1"]), {}, "`entities` takes each name by itself, not a list"),
    ("resync", ("events",), {"stale": 1}, "`stale` takes True or False, not 1"),
    ("resync", ("events",), {"why": None}, "`why` takes a str, not None"),
    ("verify", (3,), {}, "`files` takes a path or a list of paths, not 3"),
    ("verify", ([],), {}, "`files` names no file"),
    ("verify", ("a\0b",), {}, "`files` holds a NUL"),
    ("verify", ("x",), {"partial": "no"}, "`partial` takes True or False, not a str"),
    ("verify", ("x",), {"found": 1}, "`found` takes a function or None, not 1"),
    ("open", (3,), {}, "`configuration` takes the path of a goldwire.yaml or a dict of what one holds, not 3"),
    ("open", ([],), {}, "`configuration` takes the path of a goldwire.yaml or a dict of what one holds, not a list"),
    ("open", ("",), {}, "`configuration` is empty"),
    ("open", ({},), {"folder": 3}, "`folder` takes a path: a str or a Path, not 3"),
]  # fmt: skip

UNKNOWN: list[tuple[str, tuple[Any, ...], str]] = [
    ("ingest", ("crn",), "did you mean 'crm'"),
    ("run", ("evnts",), "did you mean 'events'"),
    ("run_async", ("evnts",), "did you mean 'events'"),
    ("ledger", ("evnts",), "did you mean 'events'"),
    ("entity", ("crm/C-0",), "no entity is known as crm/C-0"),
    ("dead_letters", ("evnts",), "did you mean 'events'"),
    ("dead_letter", ("events", 1), "no dead letter at position 1"),
    ("redrive", ("evnts",), "did you mean 'events'"),
    ("discard", ("evnts", 1), "did you mean 'events'"),
    ("replay", ("evnts",), "did you mean 'events'"),
    ("resync", ("evnts",), "did you mean 'events'"),
    ("resync", ("events", "crm/C-0"), "no entity is known as crm/C-0"),
    ("replay", ("events", ReplayRequest(entities=("crm/C-0",))), "no entity is known as crm/C-0"),
]

AFTER_CLOSE: dict[str, tuple[Any, ...]] = {
    "apply": (),
    "dead_letter": ("events", 1),
    "dead_letters": (),
    "discard": ("events", 1),
    "entity": ("crm/C-1",),
    "ingest": ("crm",),
    "ingest_rows": ([ROW],),
    "ledger": (),
    "redrive": ("events",),
    "replay": ("events",),
    "resync": ("events",),
    "run": (),
    "run_async": (),
    "status": (),
    "__enter__": (),
}
WITHOUT_A_STORE = {"open", "verify", "close", "targets"}
WITHOUT_ARGUMENTS = {"status", "close", "targets"}


def public() -> set[str]:
    return {name for name in vars(Goldwire) if not name.startswith("_")}


def test_every_public_method_is_tried_with_wrong_arguments_and_after_close() -> None:
    assert {method for method, *_ in WRONG} == public() - WITHOUT_ARGUMENTS
    assert AFTER_CLOSE.keys() - {"__enter__"} == public() - WITHOUT_A_STORE


@pytest.mark.parametrize(("method", "values", "named", "text"), WRONG, ids=[f"{one[0]}: {one[3]}" for one in WRONG])
def test_a_wrong_argument_is_an_error_that_names_it(
    opened: Goldwire, method: str, values: tuple[Any, ...], named: dict[str, Any], text: str
) -> None:
    before = opened.status(), opened.ledger(recount=True)
    with pytest.raises(InputError) as refused:
        call(opened, method, *values, **named)
    assert text in str(refused.value)
    assert (opened.status(), opened.ledger(recount=True)) == before


@pytest.mark.parametrize(("method", "values", "text"), UNKNOWN, ids=[f"{one[0]}: {one[2]}" for one in UNKNOWN])
def test_a_name_that_is_not_there_is_an_error_that_names_it(
    opened: Goldwire, method: str, values: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(NotFoundError) as refused:
        call(opened, method, *values)
    assert text in str(refused.value)


def test_a_row_that_holds_itself_is_refused(opened: Goldwire) -> None:
    row: dict[str, Any] = dict(ROW)
    row["attributes"] = {"city": row}
    with pytest.raises(InputError, match="cannot be written as JSON"):
        opened.ingest_rows([row])


def test_a_row_of_an_unknown_type_is_rejected_by_the_name_of_the_type(opened: Goldwire) -> None:
    done = opened.ingest_rows([{**ROW, "entityType": "Custmer"}])
    assert (done.rejected, done.versions) == (1, 0)
    assert "Custmer" in done.first_rejects[0].reason


def test_rows_may_come_from_a_generator_and_files_too(opened: Goldwire, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("", encoding="utf-8")
    assert opened.ingest_rows(row for row in [ROW]).rows == 1  # type: ignore[arg-type]
    assert opened.ingest(None, (one for one in [file])).rows == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("method", sorted(AFTER_CLOSE))
@pytest.mark.parametrize("used", [True, False], ids=["a store that was used", "a store that was never opened"])
def test_a_call_after_close_says_so(tmp_path: Path, method: str, *, used: bool) -> None:
    write_start(tmp_path)
    goldwire = Goldwire.open(tmp_path / "goldwire.yaml")
    if used:
        goldwire.apply()
    goldwire.close()
    goldwire.close()
    with pytest.raises(GoldwireError, match="this Goldwire is closed; open the configuration again"):
        call(goldwire, method, *AFTER_CLOSE[method])
    assert goldwire.targets == ["events", "partners"]
    assert (tmp_path / ".goldwire").exists() is used


def test_a_method_that_ends_after_close_returns_what_it_did(tmp_path: Path) -> None:
    write_start(tmp_path)
    goldwire = Goldwire.open(tmp_path / "goldwire.yaml")
    goldwire.apply()
    goldwire.ingest("crm", tmp_path / "data" / "crm.csv")
    closing: list[Callable[[], None]] = [goldwire.close]
    runs = goldwire.run(progress=lambda *_: closing.pop()() if closing else None)
    assert [(run.state, run.pending) for run in runs] == [("caught up", 0), ("caught up", 0)]
