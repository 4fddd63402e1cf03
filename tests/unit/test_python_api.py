"""The Python API where its page does not show it: what it refuses, and what it shares with the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from goldwire import Goldwire
from goldwire.cli.main import app
from goldwire.errors import ConfigError, ContractError, InputError, NotFoundError
from goldwire.services.replay import ReplayRequest
from goldwire.services.starter import write_start


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Goldwire]:
    write_start(tmp_path)
    with Goldwire.open(tmp_path / "goldwire.yaml") as goldwire:
        goldwire.apply()
        goldwire.ingest("crm", [tmp_path / "data" / "crm.csv"])
        goldwire.run()
        yield goldwire


def command(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--config", str(folder / "goldwire.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_it_returns_what_the_command_line_prints(opened: Goldwire, tmp_path: Path) -> None:
    pairs = [
        (opened.status(), ["status"]),
        (opened.ledger(recount=True), ["ledger", "--recount"]),
        (opened.entity("crm/C-1"), ["entity", "show", "crm/C-1"]),
        (opened.dead_letters(), ["dead", "list"]),
    ]
    for struct, words in pairs:
        assert msgspec.to_builtins(struct) == command(tmp_path, *words)


def test_a_target_that_does_not_begin_is_reported_and_not_raised(opened: Goldwire, tmp_path: Path) -> None:
    (tmp_path / "out" / "partners.jsonl").unlink()
    (tmp_path / "out" / "partners.jsonl").mkdir()
    opened.ingest("billing", tmp_path / "data" / "billing.csv")
    runs = {run.target: run for run in opened.run()}
    assert runs["events"].state == "caught up"
    assert runs["partners"].state == "failed"
    assert "partners" in str(runs["partners"].error)


def test_to_cancel_an_asynchronous_run_ends_it_gracefully(opened: Goldwire, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def story() -> None:
        task = asyncio.create_task(opened.run_async(until_caught_up=False, progress=lambda *_: reached.set()))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    opened.ingest("billing", tmp_path / "data" / "billing.csv")
    asyncio.run(story())
    assert [run.state for run in opened.run()] == ["caught up", "caught up"]
    assert Goldwire.verify(tmp_path / "out" / "events.jsonl").whole


def test_names_that_are_not_there_are_refused_with_the_nearest_that_is(opened: Goldwire) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'events'"):
        opened.run("evnts")
    with pytest.raises(NotFoundError, match="did you mean 'crm'"):
        opened.ingest("crn")
    with pytest.raises(NotFoundError, match="no dead letter at position 1"):
        opened.redrive("events", 1)
    with pytest.raises(InputError, match="name the files"):
        opened.ingest(None)


def test_discarding_needs_a_position(opened: Goldwire) -> None:
    with pytest.raises(InputError, match="positions"):
        opened.discard("events")


def test_a_wrong_dict_is_refused_with_the_line_it_would_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"<dict>:2:3: typs: unknown .* did you mean 'types'"):
        Goldwire({"typs": {}}, folder=tmp_path)
    with pytest.raises(ConfigError, match="JSON cannot"):
        Goldwire({"types": {1, 2}}, folder=tmp_path)


def test_a_contract_that_lets_a_classified_attribute_out_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    configuration = {
        "tags": {"pii": {}},
        "types": {"Customer": {"attributes": {"name": {"tags": ["pii"]}}}},
        "contracts": {"all": {}},
        "targets": {"events": {"kind": "file", "contract": "all", "settings": {"path": "events.jsonl"}}},
    }
    with Goldwire(configuration, folder=tmp_path) as goldwire:
        with pytest.raises(ContractError, match="no clearance"):
            goldwire.apply()
        assert goldwire.status().targets[0].state == "not applied"


def test_a_row_that_is_no_fact_is_rejected_and_the_others_go_in(opened: Goldwire) -> None:
    good = {"system": "crm", "externalId": "C-9", "entityType": "Customer", "attributes": {"city": "Turin"}}
    done = opened.ingest_rows([{"nothing": 1}, good])
    assert (done.rows, done.rejected, done.versions) == (2, 1, 1)
    assert done.first_rejects[0].origin == "row 1"
    with pytest.raises(InputError, match="JSON"):
        opened.ingest_rows([{**good, "attributes": {"city": object()}}])


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5"])
def test_a_replay_at_no_rate_is_refused_before_it_is_kept(opened: Goldwire, rate: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the rate of a replay is a positive number"):
        opened.replay("events", rate=rate)
    assert command(tmp_path, "replay", "list") == []


def test_a_replay_to_a_version_that_never_was_is_refused(opened: Goldwire) -> None:
    with pytest.raises(InputError, match="--to-version 0: the entity's oldest version is 1"):
        opened.replay("events", ReplayRequest(entities=("crm/C-1",), to_version=0))
