"""The example `subscriber-node`: its canonical form, verdicts and guard against the kit's, and as a whole on the emulator."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from azure.eventhub import EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldwire.event.headers import partition_key
from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import PoisonError, parse
from goldwire_consumer.spark import EntityRow, reduce_entity
from support.histories import customers

EXAMPLE = Path(__file__).parents[3] / "examples" / "subscriber-node"
HUB = "customers-hub"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)

pytestmark = [pytest.mark.optional, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed: install Node.js 20 or newer")
    return found


@pytest.fixture
def each(node: str) -> Callable[[str, list[bytes]], list[Any]]:
    """Call a function of the example, written in JavaScript, with each of some bytes; return what it returns."""

    def call(function: str, inputs: list[bytes]) -> list[Any]:
        program = (
            'const { canonical, read } = require("./event"); const { take } = require("./guard");'
            f"const call = {function};"
            'for (const line of require("node:fs").readFileSync(0, "utf8").split("\\n").slice(0, -1))'
            ' console.log(JSON.stringify(call(Buffer.from(line, "base64"))));'
        )
        text = b"".join(base64.b64encode(one) + b"\n" for one in inputs)
        done = subprocess.run([node, "-e", program], cwd=EXAMPLE, input=text, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


Each = Callable[[str, list[bytes]], list[Any]]


@given(values=st.lists(JSON, min_size=40, max_size=60))
@FEW
def test_the_canonical_form_is_that_of_rfc_8785(each: Each, values: list[Any]) -> None:
    values += [1e21, 1e20, 1e-7, 1e-6, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 2**53 - 1, {"ﬡ": 1, "😀": 2, "__proto__": 3}]
    texts = [json.dumps(value).encode() for value in values]
    found = each("(bytes) => canonical(JSON.parse(bytes.toString()))", texts)
    assert [text.encode() for text in found] == [rfc8785.dumps(value) for value in values]


READ = "(bytes) => { try { return read(bytes).hash; } catch (error) { return error.kind ?? String(error); } }"


def test_it_takes_what_the_kit_takes_and_names_poison_as_the_kit_does(each: Each) -> None:
    body = sealed("e1", 3, {"city": "Łódź", "credit": 1e21}, previous_hash=b"p" * 32).body
    replaced = [
        (b'"version":3', b'"version":0'), (b"cluedin-1.0", b"cluedin-9.0"), (b"EntityChanged", b"EntityMoved"),
        (b"EntityChanged", b"EntityDeleted"), (b'"payload":"full"', b'"payload":"half"'), (b"sha256:", b"sha1:"),
        ("Łódź".encode(), b"Bonn"), (b"1e+21", b"1e+22"), (b"}", b"} x"), ("Ł".encode(), b"\xff"),
        (b'"changes"', b'"changes":1,"changes"'), ("Łódź".encode(), b"\\ud800"),
    ]  # fmt: skip
    bodies = [event.body for event in customers(41, 4, 60).events]
    bodies += [deleted("e1", 4, reason="erased").body, b"", b"null", b"[]", b"{}", b'"x"', b"[" * 100_000]
    bodies += [body, *(body.replace(before, after, 1) for before, after in replaced)]
    found = each(READ, bodies)
    assert [one if one.startswith("sha256:") else "poison" for one in found] == [hash_or_poison(one) for one in bodies]
    assert found[-len(replaced) :].count("altered") >= 2


def hash_or_poison(body: bytes) -> str:
    try:
        return parse(body).hash
    except PoisonError:
        return "poison"


@given(index=st.integers(0, 10_000), bits=st.lists(st.integers(0, 6), min_size=7, max_size=7))
@FEW
def test_no_altered_event_is_taken(each: Each, index: int, bits: list[int]) -> None:
    body = sealed("e1", 3, {"city": "Ulm", "credit": 10.5}, previous_hash=b"p" * 32).body
    altered = []
    for step, bit in enumerate(bits):
        flipped = bytearray(body)
        flipped[(index + 31 * step) % len(body)] ^= 1 << bit
        altered.append(bytes(flipped))
    assert not [one for one in each(READ, altered) if one.startswith("sha256:")]


def test_another_spelling_of_an_event_is_refused_because_it_could_hide_something(each: Each) -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body
    assert each(READ, [json.dumps(json.loads(body)).encode()]) == ["altered"]


TAKE = (
    "((held) => (bytes) => { const event = read(bytes);"
    " held.set(event.entityId, take(held.get(event.entityId), event).held); return held.get(event.entityId); })(new Map())"
)


@given(seed=st.integers(0, 2**32), payload=st.sampled_from(["delta", "full"]), lost=st.integers(0, 4))
@FEW
def test_in_any_order_and_with_losses_it_holds_what_the_kit_holds(each: Each, seed: int, payload: Any, lost: int) -> None:
    chance = random.Random(seed)
    events = customers(seed, 3, 40, payload=payload).events
    events = chance.sample(events, max(1, len(events) - lost))
    mixed = events + chance.sample(events, len(events) // 2)
    chance.shuffle(mixed)
    rows: dict[str, EntityRow] = {}
    for event in mixed:
        rows[event.entity_id] = reduce_entity(rows.get(event.entity_id), [parse(event.body)]).row
    found = each(TAKE, [event.body for event in mixed])
    held = {event.entity_id: one for event, one in zip(mixed, found, strict=True)}
    assert {id_: of_row(row) for id_, row in rows.items()} == {id_: of_held(one) for id_, one in held.items()}


def of_row(row: EntityRow) -> tuple[Any, ...]:
    record = None if row.record is None else {name: one["value"] for name, one in row.record.attributes.items()}
    edges = [] if row.record is None else row.record.edges
    return (row.version, row.hash, row.gone, row.merged_into, record, ordered(edges), [one.hash for one in row.waiting])


def of_held(held: dict[str, Any]) -> tuple[Any, ...]:
    record = held["record"] and {name: one["value"] for name, one in held["record"]["attributes"].items()}
    edges = held["record"]["edges"] if held["record"] else []
    waiting = [one["hash"] for one in held["waiting"]]
    return (held["version"], held["hash"], held["gone"], held["mergedInto"], record, ordered(edges), waiting)


def ordered(edges: list[Any]) -> list[bytes]:
    return sorted(map(rfc8785.dumps, edges))


def double(digits: str) -> int | float:
    """A number as every reader of JSON has it: ECMAScript writes large ones without an exponent."""
    return int(digits) if abs(int(digits)) < 2**53 else float(digits)


class NodeSubscriber:
    """The example in a process of its own, with its SDK beside it."""

    def __init__(self, node: str, folder: Path, address: str, state: Path) -> None:
        self.command = [node, str(folder / "subscriber.js"), HUB, str(state)]
        self.environment = {**os.environ, "EVENT_HUBS_CONNECTION": address}
        self.state = state
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return self.process

    def end(self, by: int = signal.SIGTERM) -> list[str]:
        """End it, and return the lines that it printed."""
        self.process.send_signal(by)
        printed, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == (0 if by == signal.SIGTERM else -by), printed
        return printed.splitlines()

    @property
    def held(self) -> dict[str, dict[str, Any]]:
        file = self.state / "state.json"
        if not file.exists():
            return {}
        return dict(json.loads(file.read_text(encoding="utf-8"), parse_int=double)["entities"])

    @property
    def versions(self) -> dict[str, int]:
        return {id_: one["version"] for id_, one in self.held.items()}

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        return {
            id_: {name: attribute["value"] for name, attribute in one["record"]["attributes"].items()}
            for id_, one in self.held.items()
            if one["record"] is not None
        }

    @property
    def letters(self) -> list[tuple[str, bytes]]:
        file = self.state / "dead-letters.jsonl"
        lines = map(json.loads, file.read_bytes().splitlines()) if file.exists() else ()
        return [(line["kind"], base64.b64decode(line["body"])) for line in lines]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with what npm installs for it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("node") / "subscriber-node"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "install", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install the SDK: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture
def subscribe(node: str, installed: Path, peer: Any, tmp_path: Path) -> Iterator[Callable[[], NodeSubscriber]]:
    started: list[NodeSubscriber] = []

    def begin() -> NodeSubscriber:
        started.append(NodeSubscriber(node, installed, peer.address(), tmp_path / "state"))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate(timeout=60)


def send(peer: Any, key: str, *bodies: bytes) -> None:
    with EventHubProducerClient.from_connection_string(peer.address(HUB)) as producer:
        messages = [AmqpAnnotatedMessage(data_body=body, annotations={}) for body in bodies]
        producer.send_batch(messages, partition_key=key)


def versions(events: list[SealedEvent]) -> dict[str, int]:
    return {event.entity_id: event.version for event in events}


def test_it_ends_with_what_goldwire_sent(
    subscribe: Callable[[], NodeSubscriber], peer: Any, deliver: Callable[..., None], wait_for: Callable[..., None]
) -> None:
    history = customers(42, 6, 90)
    numbers = {"a": 1e21, "b": -0.0, "c": 2**53 - 1, "d": 5e-324, "e": 123456789012345680000.0, "f": "東京 \u2028😀", "ü": [{}]}
    one = sealed("e1", 1, numbers)
    two = sealed("e1", 2, {"b": None, "f": "Łódź"}, base_version=1, previous_hash=one.hash)
    three = sealed("e1", 3, {"a": 1}, base_version=2, previous_hash=two.hash)
    gone = [sealed("e2", 1, {"city": "Ulm"})]
    gone.append(deleted("e2", 2, reason="erased", previous_hash=gone[0].hash))
    events = [*history.events, one, two, *gone]
    subscriber = subscribe()
    settings_ = {"hub": HUB, "connection_string": peer.address()}
    deliver("event_hubs", settings_, events[:60])
    wait_for(lambda: subscriber.versions == versions(events[:60]), "the first events")
    tampered = two.body.replace("Łódź".encode(), b"Bonn")
    send(peer, partition_key(two), tampered, b"no event", gone[0].body, events[0].body)
    deliver("event_hubs", settings_, [*events[60:], gone[0], events[3], three, three])
    expected = versions([*events, three])
    wait_for(lambda: subscriber.versions == expected, "every version")
    printed = subscriber.end()
    applied = [line.removeprefix("applied Customer ") for line in printed if line.startswith("applied")]
    assert sorted(applied) == sorted(f"{event.entity_id} version {event.version}" for event in [*events, three])
    last = {name: value for name, value in numbers.items() if name != "b"} | {"a": 1, "f": "Łódź"}
    assert subscriber.values == {**history.table, "e1": last}
    assert subscriber.held["e2"]["gone"] == "erased"
    assert sorted(subscriber.letters) == sorted([("altered", tampered), ("unreadable", b"no event")])
    assert "Bonn" not in "".join(line for line in printed if "dead letter" in line)


def test_killed_at_any_moment_it_goes_on_where_it_was(
    subscribe: Callable[[], NodeSubscriber], peer: Any, deliver: Callable[..., None], wait_for: Callable[..., None]
) -> None:
    history = customers(43, 8, 200)
    subscriber = subscribe()
    for start in range(0, len(history.events), 50):
        before = subscriber.versions
        deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, history.events[start : start + 50])
        wait_for(lambda held=before: subscriber.versions != held, "something more is held")
        subscriber.end(signal.SIGKILL)
        subscriber.start()
    wait_for(lambda: subscriber.versions == versions(history.events), "every version")
    subscriber.end()
    assert subscriber.values == history.table
    send(peer, "x", b"no event")
    subscriber.start()
    wait_for(lambda: subscriber.letters != [], "the dead letter")
    assert [line for line in subscriber.end() if line.startswith("applied")] == []


def test_what_follows_a_lost_event_waits_until_it_comes(
    subscribe: Callable[[], NodeSubscriber], peer: Any, deliver: Callable[..., None], wait_for: Callable[..., None]
) -> None:
    one = sealed("e1", 1, {"city": "Ulm"})
    two = sealed("e1", 2, {"city": "Bonn"}, base_version=1, previous_hash=one.hash)
    three = sealed("e1", 3, {"name": "Ada"}, base_version=2, previous_hash=two.hash)
    settings_ = {"hub": HUB, "connection_string": peer.address()}
    subscriber = subscribe()
    deliver("event_hubs", settings_, [one, three])
    wait_for(lambda: [len(held["waiting"]) for held in subscriber.held.values()] == [1], "an event waits")
    assert "entity e1: an event after version 1 is missing; ask for a replay of it" in subscriber.end()
    subscriber.start()
    deliver("event_hubs", settings_, [two])
    wait_for(lambda: subscriber.versions == {"e1": 3}, "all of it")
    subscriber.end()
    assert subscriber.values == {"e1": {"city": "Bonn", "name": "Ada"}}
