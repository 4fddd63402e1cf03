"""The Python API where its page does not show it: what it refuses, and what it shares with the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from goldwire import Goldwire
from goldwire.cli.main import app
from goldwire.errors import ConfigError, ContractError, InputError, NotFoundError
from goldwire.services.ledger import LedgerTerms
from goldwire.services.replay import ReplayRequest
from goldwire.services.starter import write_start
from goldwire.testing.webhook_receiver import Receiver

EDITED = ("{ name: redact, email: partial }", "{ name: redact, email: redact }")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Goldwire]:
    write_start(tmp_path)
    with Goldwire.open(tmp_path / "goldwire.yaml") as goldwire:
        goldwire.apply()
        goldwire.ingest("crm", [tmp_path / "data" / "crm.csv"])
        goldwire.run()
        yield goldwire


def customer(name: str, city: str) -> dict[str, Any]:
    return {"system": "crm", "externalId": name, "entityType": "Customer", "attributes": {"city": city}}


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Goldwire]:
    """One target refused every event, another did not answer every second one; a version is parked behind a dead letter."""

    async def deliver() -> Goldwire:
        structlog.reset_defaults()  # a command that ran before has log lines go where nothing is any more
        refusing, silent = Receiver(), Receiver()
        silent.script.extend(["/close", "/"] * 10)
        await refusing.start()
        await silent.start()
        urls = {"refusing": f"{refusing.url}/status/422", "silent": silent.url}
        delivery = {"mode": "every", "max_attempts": 1, "batch_size": 1, "backoff_seconds": 0.01}
        configuration = {
            "types": {"Customer": {"attributes": {"city": {}}}},
            "contracts": {"all": {"golden": False}},
            "log": {"level": "error"},
            "targets": {
                name: {
                    "kind": "webhook", "contract": "all", "delivery": delivery, "settings": {"plain_http": True, "url": url}
                }
                for name, url in urls.items()
            },
        }  # fmt: skip
        (tmp_path / "goldwire.yaml").write_text(json.dumps(configuration), encoding="utf-8")
        goldwire = Goldwire.open(tmp_path / "goldwire.yaml")
        goldwire.apply()
        goldwire.ingest_rows([customer(f"C-{number}", "Bath") for number in range(1, 5)])
        goldwire.ingest_rows([customer("C-1", "York")])
        try:
            await asyncio.wait_for(goldwire.run_async(), 60)
        finally:
            await refusing.stop()
            await silent.stop()
        return goldwire

    with asyncio.run(deliver()) as goldwire:
        yield goldwire


def command(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--config", str(folder / "goldwire.yaml"), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_it_returns_what_the_command_line_prints(opened: Goldwire, tmp_path: Path) -> None:
    pairs = [
        (opened.status(), ["status"]),
        (opened.ledger(), ["ledger"]),
        (opened.ledger(recount=True), ["ledger", "--recount"]),
        (opened.entity("crm/C-1"), ["entity", "show", "crm/C-1"]),
        (opened.dead_letters(), ["dead", "list"]),
        (opened.run(), ["run", "--until-caught-up"]),
    ]
    for struct, words in pairs:
        assert msgspec.to_builtins(struct) == command(tmp_path, *words)


def test_it_returns_what_the_command_line_prints_of_targets_that_fail(refused: Goldwire, tmp_path: Path) -> None:
    letters = refused.dead_letters("refusing")
    assert [letter.state for letter in letters] == ["dead"] * 4
    pairs = [
        (refused.status(), ["status"]),
        (refused.ledger(recount=True), ["ledger", "--recount"]),
        (letters, ["dead", "list", "refusing"]),
        (refused.entity("crm/C-1"), ["entity", "show", "crm/C-1"]),
        (refused.run(), ["run", "--until-caught-up"]),
    ]
    for letter in letters:
        detail = refused.dead_letter("refusing", letter.seq)
        pairs.append((detail, ["dead", "show", "refusing", str(letter.seq)]))
    for struct, words in pairs:
        assert msgspec.to_builtins(struct) == command(tmp_path, *words)
    assert sum(len(refused.dead_letter("refusing", letter.seq).parked_versions) for letter in letters) == 1


def test_a_run_that_cannot_begin_looks_the_same_from_both_doors(opened: Goldwire, tmp_path: Path) -> None:
    (tmp_path / "out" / "partners.jsonl").unlink()
    (tmp_path / "out" / "partners.jsonl").mkdir()
    assert msgspec.to_builtins(opened.run()) == command(tmp_path, "run", "--until-caught-up", code=2)


def test_redriving_and_discarding_look_the_same_from_both_doors(refused: Goldwire, tmp_path: Path) -> None:
    first, second, *_ = (letter.seq for letter in refused.dead_letters("refusing"))
    mine = msgspec.to_builtins(refused.redrive("refusing", first))
    assert mine == command(tmp_path, "dead", "redrive", "refusing", str(second)) == {"target": "refusing", "redrive": 1}
    first, second, *_ = (letter.seq for letter in refused.dead_letters("silent"))
    mine = msgspec.to_builtins(refused.discard("silent", first))
    assert mine == {"target": "silent", "discard": 1, "may_have_arrived": [first]}
    theirs = command(tmp_path, "dead", "discard", "silent", str(second), "--yes")
    assert theirs == {"target": "silent", "discard": 1, "may_have_arrived": [second]}


@pytest.mark.parametrize("whole", [True, False])
def test_a_verification_looks_the_same_from_both_doors(opened: Goldwire, tmp_path: Path, *, whole: bool) -> None:
    file = tmp_path / "out" / "events.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines if whole else [*lines[:-1], lines[-1].replace(b"city", b"cite"), b"{}\n"]))
    seen: list[tuple[Path, Any]] = []
    report = opened.verify(file, found=lambda *found: seen.append(found))
    done = CliRunner().invoke(app, ["verify", str(file), "--json"])
    assert done.exit_code == (0 if whole else 9)
    assert msgspec.to_builtins(report) == json.loads(done.stdout)
    assert report.whole is whole
    assert [(str(path), *finding) for path, finding in seen] == [
        (one.file, one.line, one.kind, one.entity_id, one.version, one.text) for one in report.first_findings
    ]


def test_a_run_says_of_which_targets_the_contract_was_edited_since_it_was_applied(opened: Goldwire, tmp_path: Path) -> None:
    assert [run.configuration_differs for run in opened.run()] == [False, False]
    file = tmp_path / "goldwire.yaml"
    text = file.read_text(encoding="utf-8")
    assert EDITED[0] in text
    file.write_text(text.replace(*EDITED), encoding="utf-8")
    with Goldwire.open(file) as edited:
        runs = edited.run()
        assert {run.target: run.configuration_differs for run in runs} == {"events": False, "partners": True}
        assert msgspec.to_builtins(runs) == command(tmp_path, "run", "--until-caught-up")
        edited.apply()
        assert [run.configuration_differs for run in edited.run()] == [False, False]


def test_the_terms_of_a_run_are_those_of_its_ledger_and_none_where_it_never_began(opened: Goldwire) -> None:
    [events, _] = opened.run()
    assert events.counts == opened.ledger("events")[0].terms
    never = msgspec.structs.replace(events, **dict.fromkeys(LedgerTerms.__struct_fields__))
    assert never.counts is None


def test_every_other_method_may_be_called_while_it_delivers_on_the_same_loop(opened: Goldwire, tmp_path: Path) -> None:
    rounds = 60

    async def story() -> None:
        task = asyncio.create_task(opened.run_async(until_caught_up=False))
        for number in range(rounds):
            done = opened.ingest_rows([customer(f"N-{number}-{of}", "Bath") for of in range(5)])
            assert (done.versions, done.rejected) == (5, 0)
            assert opened.status().position == done.position
            assert [one.balanced for one in opened.ledger(recount=True)] == [True, True]
            assert opened.entity(f"crm/N-{number}-0").version == 1
            assert opened.dead_letters() == []
            assert opened.redrive("events").redrive == 0
            assert [one.change for one in opened.apply()] == ["unchanged", "unchanged"]
            await asyncio.sleep(0)
            assert not task.done()
        [busy] = await opened.run_async("events")
        assert busy.state == "busy"
        record = opened.replay("events")
        assert record.state == "open"
        while any(target.lag for target in opened.status().targets):  # noqa: ASYNC110 - a store sets no event
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert [(run.target, run.state) for run in opened.run()] == [("events", "caught up"), ("partners", "caught up")]
    assert opened.ledger("events", recount=True)[0].delivered == opened.status().position
    assert Goldwire.verify(tmp_path / "out" / "events.jsonl").whole


def test_two_tasks_deliver_to_a_target_each_from_one_object(opened: Goldwire, tmp_path: Path) -> None:
    opened.ingest("billing", tmp_path / "data" / "billing.csv")

    async def story() -> list[str]:
        both = await asyncio.gather(opened.run_async("events"), opened.run_async("partners"))
        return [run.state for runs in both for run in runs]

    assert asyncio.run(story()) == ["caught up", "caught up"]


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
    with pytest.raises(InputError, match="`to_version` 0: the entity's oldest version is 1"):
        opened.replay("events", ReplayRequest(entities=("crm/C-1",), to_version=0))


WRONG_REPLAYS = [
    (ReplayRequest(since="yesterday"), "`since`: 'yesterday' is no moment; write e.g."),
    (ReplayRequest(until="9999-12-31T23:59:59-14:00"), "`until`: '9999-12-31T23:59:59-14:00' is no moment"),
    (ReplayRequest(since="2026-02-01", until="2026-01-01"), "`since` has to be before `until`"),
    (ReplayRequest(from_version=2), "give `from_version` and `to_version` with one name in `entities`"),
    (ReplayRequest(entities=("crm/C-1",), from_version=99), "`from_version` 99: the entity's newest version is 1"),
    (ReplayRequest(entities=("crm/C-1",), to_version=0), "`to_version` 0: the entity's oldest version is 1"),
    (ReplayRequest(where="a.city =="), "`where`: "),
]


@pytest.mark.parametrize(("request_", "said"), WRONG_REPLAYS)
def test_an_error_about_a_replay_names_the_field_and_the_command_line_names_its_option(
    opened: Goldwire, tmp_path: Path, request_: ReplayRequest, said: str
) -> None:
    with pytest.raises((InputError, ContractError)) as caught:
        opened.replay("events", request_)
    assert said in str(caught.value)
    assert "--" not in str(caught.value)
    assert command(tmp_path, "replay", "list") == []


def test_a_configuration_that_is_not_there_is_named_without_an_option_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file; name one that is there") as caught:
        Goldwire(tmp_path / "nowhere.yaml")
    assert "--" not in str(caught.value)


READS: list[tuple[str, tuple[Any, ...]]] = [
    ("status", ()),
    ("ledger", ()),
    ("entity", ("crm/C-1",)),
    ("dead_letters", ()),
    ("dead_letter", ("events", 1)),
    ("redrive", ("events",)),
    ("discard", ("events", 1)),
]
SMALL = {"types": {"Customer": {"attributes": {"city": {}}}}}


@pytest.mark.parametrize(("method", "values"), [*READS, ("apply", ())])
def test_what_only_reads_refuses_a_folder_that_is_not_there(tmp_path: Path, method: str, values: tuple[Any, ...]) -> None:
    with Goldwire(SMALL, folder=tmp_path / "typo" / "x") as goldwire:
        arguments = {"check": True} if method == "apply" else {}
        with pytest.raises(InputError, match=r"typo/x: there is no such folder.*`folder`"):
            getattr(goldwire, method)(*values, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("method", "values"), READS)
def test_what_only_reads_makes_no_store(tmp_path: Path, method: str, values: tuple[Any, ...]) -> None:
    with Goldwire(SMALL, folder=tmp_path) as goldwire:
        finds_nothing = method in {"entity", "dead_letter", "redrive", "discard"}
        with pytest.raises(NotFoundError) if finds_nothing else nullcontext():
            getattr(goldwire, method)(*values)
        assert list(tmp_path.iterdir()) == []


def test_what_was_read_before_there_was_a_store_is_read_from_it_once_it_is_there(tmp_path: Path) -> None:
    with Goldwire(SMALL, folder=tmp_path) as reader, Goldwire(SMALL, folder=tmp_path) as writer:
        assert reader.status().position == 0
        assert reader.apply(check=True) == []
        writer.ingest_rows([customer("C-1", "Bath")])
        assert reader.status().position == 1
