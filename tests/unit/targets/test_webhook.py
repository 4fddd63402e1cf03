from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError, TargetRefusedError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Finding, Item, Outcome, Rejected, Throttled, Unavailable, Unknown
from goldwire.targets.clients.http import Reply
from goldwire.targets.registry import build
from goldwire.targets.webhook.answer import named_fields
from goldwire.targets.webhook.target import WebhookSettings, WebhookTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from goldwire.testing.webhook_receiver import Receiver

OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))


class WebhookSuite(TargetSuite):
    fences = False  # whether a receiver fences is its own affair; it answers 200 to a stale event too
    rejects = True
    interruptible = True
    path = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - each subclass has its own, none changes it

    async def set_up(self) -> None:
        self.receiver = Receiver(secrets=[OLD])
        self.receiver.refused.add("bad")
        await self.receiver.start()

    async def tear_down(self) -> None:
        await self.receiver.stop()

    def make_target(self) -> WebhookTarget:
        url = self.receiver.url if hasattr(self, "receiver") else "https://example.com"
        url = f"{url}{self.path}?sig={SECRET}"
        settings = WebhookSettings(url=url, signing_secrets=(OLD,), bearer_token=SECRET, **self.settings)
        return WebhookTarget("hook", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="Mallory Smith")

    async def held(self, entity_id: str) -> Held | None:
        held = self.receiver.held.get(entity_id)
        if held is None or held.deleted:
            return None
        return Held(held.version, {name: a["value"] for name, a in held.event["changes"]["attributes"].items()})

    async def take_down(self) -> None:
        await self.receiver.stop()

    async def bring_up(self) -> None:
        await self.receiver.start()


class TestSingle(WebhookSuite):
    path = "/"


class TestArrayByStatus(WebhookSuite):
    path = "/"
    settings = {"batch": "array", "array_size": 20}  # noqa: RUF012


class TestArrayWithResults(WebhookSuite):
    fences = True
    path = "/results"
    settings = {"batch": "array", "answer": "results"}  # noqa: RUF012


class TestCloudEventsStructured(WebhookSuite):
    path = "/"
    settings = {"envelope": "cloudevents-structured"}  # noqa: RUF012


class TestCloudEventsBinary(WebhookSuite):
    path = "/"
    settings = {"envelope": "cloudevents-binary"}  # noqa: RUF012


class TestCloudEventsBatchWithResults(WebhookSuite):
    fences = True
    path = "/results"
    settings = {"envelope": "cloudevents-batch", "answer": "results"}  # noqa: RUF012


def post(receiver: Receiver, path: str, *events: SealedEvent, replay_id: str | None = None, **settings: Any) -> list[Outcome]:
    async def run() -> Sequence[Outcome]:
        await receiver.start()
        target = WebhookTarget("hook", WebhookSettings(url=receiver.url + path, **settings), SystemClock())
        await target.open()
        try:
            return await target.send([Item(event, replay_id=replay_id) for event in events])
        finally:
            await target.close()
            await receiver.stop()

    return list(asyncio.run(run()))


def test_the_signature_is_accepted_by_the_standard_s_own_library() -> None:
    receiver = Receiver()
    post(receiver, "/", sealed("a", 1, {"name": "Zoë"}), signing_secrets=(OLD, NEW))
    (request,) = receiver.requests
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.body, request.headers)["entityId"] == "a"


def test_a_receiver_that_moved_to_the_new_secret_still_accepts() -> None:
    assert post(Receiver(secrets=[NEW]), "/", sealed("a", 1), signing_secrets=(OLD, NEW)) == [Delivered()]


def test_a_receiver_with_another_secret_makes_the_target_unavailable_and_names_the_settings() -> None:
    (outcome,) = post(Receiver(secrets=[NEW]), "/", sealed("a", 1), signing_secrets=(OLD,))
    assert isinstance(outcome, Unavailable)
    assert "signing_secrets" in outcome.reason


def test_the_headers_are_those_of_the_wire() -> None:
    receiver = Receiver()
    event = sealed("straße 1", 7, correlation_id="run 5", classification="email,pii", retention_days=30)
    post(receiver, "/", event, idempotency_header="Idempotency-Key", headers={"X-Api-Key": "geheim 1"}, bearer_token="t0ken")
    headers = receiver.requests[0].headers
    assert headers["x-goldwire-message-id"] == headers["webhook-id"] == "Customer:stra%C3%9Fe%201:7"
    assert headers["idempotency-key"] == headers["webhook-id"]
    assert headers["x-goldwire-correlation-id"] == "run%205"
    assert headers["x-goldwire-subject"] == "Customer.EntityChanged"
    assert headers["x-goldwire-classification"] == "email,pii"
    assert headers["x-goldwire-retention-days"] == "30"
    assert headers["content-type"] == "application/json"
    assert headers["traceparent"].startswith("00-")
    assert (headers["x-api-key"], headers["authorization"]) == ("geheim 1", "Bearer t0ken")
    assert receiver.requests[0].body == event.body


def test_an_array_sent_again_has_the_same_id_and_the_strictest_labels() -> None:
    receiver = Receiver()
    events = [
        sealed("a", 1, classification="pii", retention_days=90),
        sealed("b", 1, classification="email", retention_days=30),
    ]
    for _ in range(2):
        post(receiver, "/", *events, batch="array")
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["x-goldwire-classification"] == "email,pii"
    assert first.headers["x-goldwire-retention-days"] == "30"
    assert first.body == b"[" + events[0].body + b"," + events[1].body + b"]"


def test_a_replay_has_ids_of_its_own_that_a_repetition_keeps() -> None:
    receiver = Receiver()
    for replay_id in (None, "r1", "r1"):
        post(receiver, "/", sealed("a", 1), replay_id=replay_id)
        post(receiver, "/", sealed("a", 1), sealed("b", 1), batch="array", replay_id=replay_id)
    requests = list(receiver.requests)
    plain, first, again = (request.headers for request in requests[0::2])
    assert first["webhook-id"] == first["x-goldwire-message-id"] == f"{plain['webhook-id']}~r1"
    assert again["webhook-id"] == first["webhook-id"]
    assert first["traceparent"] == plain["traceparent"]
    plain, first, again = (request.headers["webhook-id"] for request in requests[1::2])
    assert plain != first == again


ANSWERS = [
    ("/status/200", Delivered()),
    ("/status/202", Delivered()),
    ("/status/204", Delivered()),
    ("/html", Unknown("a web page answers, no receiver: HTTP 200 (text/html); mend `url`, or set `on_page`")),
    ("/garbage", Delivered()),
    ("/throttle/7", Throttled(7.0)),
    ("/throttle", Throttled(None)),
    ("/busy/3", Throttled(3.0)),
    ("/status/503", Unknown("the receiver failed: HTTP 503 (application/json)")),
    ("/status/500", Unknown("the receiver failed: HTTP 500 (application/json)")),
    ("/status/408", Unknown("the receiver failed: HTTP 408 (application/json)")),
    ("/status/400", Rejected("the receiver refuses the event: HTTP 400 (application/json)")),
    ("/status/409", Rejected("the receiver refuses the event: HTTP 409 (application/json)")),
    ("/status/413", Rejected("the receiver refuses the event: HTTP 413 (application/json)")),
    ("/status/422", Rejected("the receiver refuses the event: HTTP 422 (application/json)")),
    ("/close", Unknown("no whole answer from the receiver: the connection broke before the answer was whole")),
    ("/hang", Unknown("no whole answer from the receiver: no answer in time")),
    ("/slow/30", Unknown("no whole answer from the receiver: no answer in time")),
    ("/huge", Unknown("no whole answer from the receiver: an answer of more than 1000000 bytes")),
]


@pytest.mark.parametrize(("path", "outcome"), ANSWERS)
def test_each_answer_has_its_meaning(path: str, outcome: Outcome) -> None:
    assert post(Receiver(), path, sealed("a", 1), timeout_seconds=0.4) == [outcome]


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 407, 415, 451])
def test_what_would_hit_every_event_is_unavailable_and_kills_none(status: int) -> None:
    (outcome,) = post(Receiver(), f"/status/{status}", sealed("a", 1))
    assert isinstance(outcome, Unavailable)
    assert f"HTTP {status}" in outcome.reason


def test_a_receiver_that_is_gone_ends_the_relay_and_names_the_fix() -> None:
    for settings in ({}, {"batch": "array", "array_size": 1}):
        with pytest.raises(TargetRefusedError, match=r"gone for good: HTTP 410 .*; mend `url`, or remove the target"):
            post(Receiver(), "/status/410", sealed("a", 1), sealed("b", 1), **settings)


@pytest.mark.parametrize(
    ("status", "counted"), [(418, True), (460, True), (520, True), (500, False), (503, False), (404, False)]
)
def test_a_code_that_is_known_of_no_outage_counts_as_an_attempt(status: int, counted: bool) -> None:
    (outcome,) = post(Receiver(), f"/status/{status}", sealed("a", 1))
    assert isinstance(outcome, Unavailable | Unknown)
    assert outcome.counted is counted


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"errors": {"email": ["must not be ada@example.org"]}}', ["email"]),
        (b'{"type": "about:blank", "errors": [{"pointer": "#/attributes/name", "detail": "Ada"}]}', ["name"]),
        (b'{"field": "email", "message": "Ada is no email"}', ["email"]),
        (b'{"message": "Ada, London"}', []),
        (b"no JSON", []),
        (b'["' + b"[" * 10_000 + b'"]', []),
        (b"[" * 100_000, []),
    ],
)
def test_a_refusal_names_attributes_and_takes_over_no_other_word(body: bytes, named: list[str]) -> None:
    assert named_fields(Reply(422, {}, body), {"email", "name", "city"}) == named


def test_a_redirect_is_not_followed() -> None:
    receiver = Receiver()
    (outcome,) = post(receiver, "/redirect", sealed("a", 1))
    assert isinstance(outcome, Unavailable)
    assert [request.path for request in receiver.requests] == ["/redirect"]


def test_409_can_mean_that_the_receiver_held_it_already() -> None:
    assert post(Receiver(), "/status/409", sealed("a", 1), on_conflict="duplicate") == [Duplicate()]


def test_a_page_is_an_answer_where_the_receiver_is_known_for_it() -> None:
    assert post(Receiver(), "/html", sealed("a", 1), on_page="delivered") == [Delivered()]


@pytest.mark.parametrize("path", ["/html", "/garbage", "/mismatch", "/status/204"])
def test_a_2xx_without_the_results_asked_for_proves_nothing(path: str) -> None:
    (outcome,) = post(Receiver(), path, sealed("a", 1), answer="results")
    assert isinstance(outcome, Unknown)
    assert "Welcome" not in outcome.reason


def test_nobody_listening_is_unavailable_and_the_url_stays_secret() -> None:
    async def run() -> Outcome:
        target = WebhookTarget("hook", WebhookSettings(url=f"http://127.0.0.1:9/{SECRET}"), SystemClock())
        await target.open()
        try:
            return (await target.send([Item(sealed("a", 1))]))[0]
        finally:
            await target.close()

    assert asyncio.run(run()) == Unavailable("the receiver cannot be reached: the connection was refused")


def checked(url: str) -> list[tuple[str, str]]:
    async def run() -> Sequence[Finding]:
        target = WebhookTarget("hook", WebhookSettings(url=url), SystemClock())
        await target.open()
        try:
            return await target.check()
        finally:
            await target.close()

    return [(one.state, one.text) for one in asyncio.run(run())]


def test_a_check_says_whether_anything_listens_and_sends_no_event() -> None:
    [(state, text)] = checked(f"http://127.0.0.1:9/{SECRET}")
    assert (state, text) == ("fix", "cannot be reached: the connection was refused; mend `url`, or start it")

    async def run() -> list[tuple[str, str]]:
        receiver = Receiver()
        await receiver.start()
        try:
            return await asyncio.to_thread(checked, f"{receiver.url}/{SECRET}")
        finally:
            await receiver.stop()
            assert not receiver.requests

    [(state, text)] = asyncio.run(run())
    assert (state, SECRET in text) == ("note", False)
    assert text.startswith("listens, and answers HTTP 4")


def test_one_bad_event_of_an_array_is_found_by_halving() -> None:
    receiver = Receiver()
    receiver.refused.add("e37")
    outcomes = post(receiver, "/", *(sealed(f"e{n}", 1) for n in range(100)), batch="array")
    assert [n for n, outcome in enumerate(outcomes) if outcome != Delivered()] == [37]
    assert isinstance(outcomes[37], Rejected)
    assert len(receiver.requests) < 20


def test_an_array_of_bad_events_is_not_hammered() -> None:
    receiver = Receiver()
    receiver.refused.update(f"e{n}" for n in range(100))
    outcomes = post(receiver, "/", *(sealed(f"e{n}", 1) for n in range(100)), batch="array")
    assert {type(outcome) for outcome in outcomes} == {Rejected, Unavailable}
    assert len(receiver.requests) == 41


def test_connections_are_kept_open() -> None:
    receiver = Receiver()
    post(receiver, "/", *(sealed(f"e{n}", 1) for n in range(200)), connections=4)
    assert len(receiver.requests) == 200
    assert receiver.connections <= 4


def test_an_effect_without_an_answer_is_unknown_and_a_resend_harmless() -> None:
    receiver = Receiver()
    (outcome,) = post(receiver, "/lost", sealed("a", 1))
    assert isinstance(outcome, Unknown)
    assert post(receiver, "/results", sealed("a", 1), answer="results") == [Duplicate("a")]
    assert (receiver.received, receiver.applied) == (2, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://example.com/"}, "https://"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://example.com/", "signing_secrets": ["whsec_geheim"]}, "16 bytes in base64"),
        ({"url": "https://example.com/", "headers": {"a": "geheim\r\nb: c"}}, "headers"),
        ({"url": "https://example.com/", "bach": "array"}, "did you mean 'batch'"),
        ({"url": "https://example.com/", "array_size": 0}, "array_size"),
        ({}, "url"),
    ],
)
def test_wrong_settings_are_named_and_their_values_are_not_shown(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        build("webhook", "hook", settings, SystemClock())
    assert "target 'hook'" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_receiver_of_its_own_process_logs_what_it_took(tmp_path: Path) -> None:
    log = tmp_path / "received.jsonl"
    (tmp_path / "webhook.key").write_text(f"{NEW}\n{OLD}\n")
    command = [sys.executable, "-m", "goldwire.testing.webhook_receiver", "--log", str(log)]
    command += ["--secret-file", str(tmp_path / "webhook.key")]
    for expected in (Delivered("a"), Duplicate("a")):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()

            async def run(url: str = url) -> Sequence[Outcome]:
                settings = WebhookSettings(url=f"{url}/results", answer="results", signing_secrets=(OLD,))
                target = WebhookTarget("hook", settings, SystemClock())
                await target.open()
                try:
                    return await target.send([Item(sealed("a", 1))])
                finally:
                    await target.close()

            assert asyncio.run(run()) == [expected]
            process.terminate()
    assert [line.split(b",")[0] for line in log.read_bytes().splitlines()] == [b'{"applied":true', b'{"applied":false']


def test_a_receiver_takes_no_secret_on_its_command_line_and_no_empty_file_of_them() -> None:
    command = [sys.executable, "-m", "goldwire.testing.webhook_receiver"]
    for words, given in ((["--secret", OLD], ""), (["--secret-file", "-"], "\n")):
        done = subprocess.run([*command, *words], input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "--secret" in done.stderr
        assert "Traceback" not in done.stderr
