"""A subscriber that lost everything: what was sent is sent again, on the command line and over real HTTP."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from goldwire.changelog.sqlite.store import SqliteStore
from support.held_port import HeldPort

DEADLINE_SECONDS = 60.0
HEADER = "id,full_name,e_mail,phone,city,segment,updated_at\n"


class Shop(ThreadingHTTPServer):
    """Takes events while it is open; of an entity in `refused` none."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Hook)
        self.refused: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.asked = 0
        self.taken: list[tuple[str, bytes]] = []


class Hook(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.server.open.wait(DEADLINE_SECONDS)
        refuse = any(f'"entityId":"{one}"'.encode() in body for one in self.server.refused)
        if not refuse:
            self.server.taken.append((self.headers["webhook-id"], body))
        self.send_response(400 if refuse else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the base class names it so
        pass


@contextmanager
def serving(port: int) -> Iterator[Shop]:
    shop = Shop(port)
    thread = threading.Thread(target=shop.serve_forever)
    thread.start()
    yield shop
    shop.open.set()
    shop.shutdown()
    thread.join()
    shop.server_close()


TARGET = """\
  shop:
    kind: webhook
    contract: everything
    clearance: [pii]
    settings: {{ url: "http://127.0.0.1:{port}/hook", timeout_seconds: 120 }}
    delivery: {{ mode: every, backoff_seconds: 0.01, timeout_seconds: 180 }}

log:
"""


class Sold(NamedTuple):
    """A folder from which a shop was sent everything once, the port of the shop, and what it took."""

    folder: Path
    port: int
    taken: list[tuple[str, bytes]]


@pytest.fixture(scope="session")
def _sold(begun: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sold]:
    """Begins with six commands, so it is done once; the port stays ours from one test's shop to the next one's."""
    held = HeldPort()
    shell = begun(tmp_path_factory.mktemp("sold"))
    with serving(held.number) as shop:
        shell.edit("log:\n", TARGET.format(port=shop.server_port))
        shell.run("apply")
        shell.run("ingest", "crm", "data/crm.csv")
        shell.run("ingest", "billing", "data/billing.csv")
        shell.run("run", "--until-caught-up", "-t", "shop")
    yield Sold(shell.folder, held.number, shop.taken)
    held.release()


@pytest.fixture
def shop(_sold: Sold) -> Iterator[Shop]:
    """The shop, which has taken everything once."""
    with serving(_sold.port) as shop:
        shop.taken += _sold.taken
        yield shop


@pytest.fixture
def sold(shell: Any, shop: Shop, _sold: Sold) -> Any:
    """A shop that was sent everything once."""
    assert shop.server_port == _sold.port
    shutil.copytree(_sold.folder, shell.folder, dirs_exist_ok=True)
    return shell


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.05)


def epoch_of(shell: Any) -> int:
    """Return how often a relay took the shop over."""
    store = SqliteStore(shell.folder / ".goldwire/store.db")
    try:
        return next(cursor.epoch for cursor in store.cursors() if cursor.target == "shop")
    finally:
        store.close()


def test_everything_is_sent_again_byte_for_byte_under_ids_of_its_own(sold: Any, shop: Shop) -> None:
    first = list(shop.taken)
    shop.taken.clear()
    [ledger] = sold.json("ledger", "-t", "shop")
    planned = sold.json("replay", "shop", "--dry-run", "--rate", "100")["plan"]
    assert shop.taken == []
    assert sold.json("replay", "list") == []
    record = sold.json("replay", "start", "shop", "--why", "lost its disk")
    assert (record["state"], record["why"]) == ("done", "lost its disk")
    assert "tally" not in record, "its counts are beside the rest"
    assert (
        (record["events"], record["bytes"])
        == (planned["events"], planned["bytes"])
        == (
            len(first),
            sum(len(body) for _, body in first),
        )
    )
    assert planned["seconds"] == pytest.approx(planned["events"] / 100)
    assert sorted(shop.taken) == sorted((f"{id_}~{record['id']}", body) for id_, body in first)
    assert sold.json("ledger", "-t", "shop", "--recount")[0]["recounted"] == {
        term: ledger[term] for term in ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
    }
    assert [one["id"] for one in sold.json("replay", "list", "shop")] == [record["id"]]
    assert record["id"] in sold.run("replay", "show", record["id"]).stdout


def test_one_record_is_named_as_its_system_knows_it(sold: Any, shop: Shop) -> None:
    shop.taken.clear()
    record = sold.json("replay", "start", "shop", "--entity", "crm/C-1", "--from-seq", "1")
    assert record["entities"] == 1
    assert shop.taken
    assert all(b'{"id":"C-1","system":"crm"}' in body for _, body in shop.taken)


def test_an_expression_chooses_and_may_look_only_at_what_the_target_may_know(sold: Any, shop: Shop) -> None:
    shop.taken.clear()
    assert sold.json("replay", "start", "shop", "--where", 'a.city == "London"')["entities"] == 1
    assert all(b"London" in body for _, body in shop.taken)
    sold.run("run", "--until-caught-up", "-t", "partners")
    said = sold.fails("replay", "start", "partners", "--where", 'a.email == "ada@analytical.example"', code=2)
    assert "'email'" in said
    assert "no clearance" in said
    assert "ada@" not in said


def test_what_is_refused_is_named_and_the_exit_code_says_so(sold: Any, shop: Shop) -> None:
    [history] = [one for one in sold.json("entity", "show", "crm/C-2")["versions"] if one["version"] == 1]
    entity_id = sold.json("entity", "show", "crm/C-2")["entity_id"]
    assert history
    shop.refused = {entity_id}
    record = sold.json("replay", "start", "shop", code=10)
    assert (record["state"], record["rejected"]) == ("done", 1)
    assert [one["entity_id"] for one in record["failures"]] == [entity_id]
    assert sold.json("dead", "list") == []


def test_a_running_relay_carries_out_what_the_command_asks_for(sold: Any, shop: Shop) -> None:
    sent, before = len(shop.taken), epoch_of(sold)
    relay = sold.start("run", "-t", "shop")
    until(lambda: epoch_of(sold) > before)
    asked = sold.run("replay", "start", "shop", "--rate", "1000", "--json")
    assert "a running relay of shop carries it out" in asked.stderr
    until(lambda: sold.json("replay", "list")[0]["state"] == "done")
    assert len(shop.taken) == 2 * sent
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(timeout=DEADLINE_SECONDS) == 0


def test_a_replay_that_was_interrupted_is_finished_by_the_next_run_unless_it_is_cancelled(sold: Any, shop: Shop) -> None:
    everything = len(shop.taken)
    for cancelled in (True, False):
        shop.taken.clear()
        slow = sold.start("replay", "start", "shop", "--rate", "1.5")
        until(lambda: len(shop.taken) > 0)
        slow.send_signal(signal.SIGTERM)
        assert slow.wait(timeout=DEADLINE_SECONDS) == 0
        record = sold.json("replay", "list")[-1]
        taken = len(shop.taken)
        assert (record["state"], record["events"]) == ("open", taken)
        assert taken < everything
        if cancelled:
            assert sold.json("replay", "cancel", record["id"])["cancelled"] is True
            again = sold.json("replay", "cancel", record["id"])
            assert again == {"replay": record["id"], "cancelled": False, "state": "cancelled"}
        sold.run("run", "--until-caught-up", "-t", "shop")
        assert len({id_ for id_, _ in shop.taken}) == (taken if cancelled else everything)
    assert [one["state"] for one in sold.json("replay", "list")] == ["cancelled", "done"]


def test_a_replay_that_another_replay_was_to_carry_out_is_carried_out(sold: Any, shop: Shop) -> None:
    everything, asked = len(shop.taken), shop.asked
    shop.taken.clear()
    shop.open.clear()
    first = sold.start("replay", "shop", "--rate", "1000")
    until(lambda: shop.asked > asked)
    second = sold.start("replay", "shop", "--rate", "1000")
    assert "a running relay of shop carries it out" in second.stderr.readline()
    shop.open.set()
    assert [one.wait(timeout=DEADLINE_SECONDS) for one in (first, second)] == [0, 0]
    assert [one["state"] for one in sold.json("replay", "list")] == ["done", "done"]
    assert len(shop.taken) == 2 * everything


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("nobody",), 11, "no target nobody"),
        (("shop", "--since", "yesterday"), 3, "--since: 'yesterday' is no moment"),
        (("shop", "--since", "2026-01-01", "--from-seq", "3"), 3, "one beginning"),
        (("shop", "--until", "2001-01-01"), 3, "sent nothing between"),
        (("shop", "--since", "2199-01-01"), 3, "sent nothing between"),
        (("shop", "--since", "2026-02-01", "--until", "2026-01-01"), 3, "--since has to be before --until"),
        (("shop", "--since", "9999-12-31T23:59:59-14:00"), 3, "is no moment"),
        (("shop", "--until", "0001-01-01T00:00:00+10:00"), 3, "is no moment"),
        (("shop", "--entity", "crm/C-99"), 11, "C-99"),
        (("shop", "--from-version", "2"), 3, "with one --entity"),
        (("shop", "--entity", "crm/C-1", "--entity", "crm/C-2", "--to-version", "2"), 3, "with one --entity"),
        (("shop", "--entity", "crm/C-1", "--from-version", "99"), 3, "newest version is"),
        (("shop", "--entity", "crm/C-1", "--from-version", "1", "--since", "2026-01-01"), 3, "one beginning"),
        (("shop", "--where", "a.shoe_size == 1"), 2, "--where: `where` at character 1"),
    ],
)
def test_what_cannot_be_replayed_is_said_before_anything_is_written(
    sold: Any, words: tuple[str, ...], code: int, complaint: str
) -> None:
    assert complaint in sold.fails("replay", "start", *words, code=code)
    assert sold.json("replay", "list") == []
    sold.fails("replay", "show", "r-1", code=11)


def test_the_versions_from_one_on_are_what_a_subscriber_asks_for_who_found_a_gap(sold: Any, shop: Shop) -> None:
    for number in range(3):
        sold.write("data/more.csv", f"{HEADER}C-1,Ada,ada@analytical.example,,City {number},,2026-03-0{number + 1}T00:00:00Z\n")
        sold.run("ingest", "crm", "data/more.csv")
        sold.run("run", "--until-caught-up", "-t", "shop")
    shown = sold.json("entity", "show", "crm/C-1")
    newest = max(one["version"] for one in shown["versions"])
    for words, wanted in (
        (("--from-version", "2"), list(range(2, newest + 1))),
        (("--from-version", "2", "--to-version", "2"), [2, newest]),
        (("--to-version", "1"), [1, newest]),
        (("--from-version", str(newest)), [newest]),
    ):
        shop.taken.clear()
        sold.run("replay", "shop", "--entity", "crm/C-1", *words)
        assert [json.loads(body)["version"] for _, body in shop.taken] == wanted


def test_a_stopped_target_is_not_asked_for_a_replay(sold: Any) -> None:
    sold.run("stop", "shop", "--reason", "moving house")
    assert "moving house" in sold.fails("replay", "shop", code=7)
    assert sold.json("replay", "list") == []
    assert sold.json("replay", "shop", "--dry-run")["plan"]["events"] > 0


def test_a_contract_that_is_not_applied_is_told_before_anything_is_repeated(sold: Any) -> None:
    sold.edit("    approval: any", "    approval: any\n    attributes: [city]")
    for words in (("--dry-run",), ()):
        assert "is not applied; `goldwire apply` does it" in sold.run("replay", "shop", *words).stderr


def test_an_expression_without_a_result_is_counted(sold: Any) -> None:
    plan = sold.json("replay", "shop", "--where", "a.city > 5", "--dry-run")["plan"]
    assert plan["events"] == 0
    assert plan["undecided"] > 0
    assert "had no result" in sold.run("replay", "shop", "--where", "a.city > 5").stdout


def test_a_rate_that_is_no_number_is_refused(sold: Any) -> None:
    for rate in ("inf", "nan"):
        assert "--rate" in sold.run("replay", "shop", "--dry-run", "--rate", rate, code=2).stderr
