"""A `webhook` target and receivers that ask for a client certificate: OpenSSL by way of Python's server, and nginx."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import rich.pretty
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item, Outcome, Unavailable
from goldwire.targets.clients.certificate import read_client_certificate
from goldwire.targets.webhook.settings import WebhookSettings
from goldwire.targets.webhook.target import WebhookTarget
from goldwire.testing.events import sealed

PATIENCE_SECONDS = 60
PASSWORD = "zqxjkvmarker"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LONG_AGO = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
FAR_OFF = {"not_before": datetime(2120, 1, 1, tzinfo=UTC), "not_after": datetime(2121, 1, 1, tzinfo=UTC)}


class ShiftedClock(SystemClock):
    """A clock that can be put forward."""

    ahead_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_seconds


class Receiver:
    """A server that takes nothing but what comes with a certificate of its authority, and notes whose it was."""

    def __init__(self, authority: trustme.CA, version: str = "1.3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.verify_mode = ssl.CERT_REQUIRED
        authority.issue_cert("localhost").configure_cert(context)
        authority.configure_trust(context)
        seen = self.seen = []
        may_answer = self.may_answer = threading.Event()
        may_answer.set()
        arrivals = self._arrivals = threading.Semaphore(0)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                seen.append(self.connection.getpeercert()["subjectAltName"][0][1])
                arrivals.release()
                may_answer.wait(PATIENCE_SECONDS)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, client_address: Any) -> None:
                # The handshake is made here, on the thread of the connection: one that fails holds up no other.
                try:
                    with context.wrap_socket(request, server_side=True) as wrapped:
                        super().finish_request(wrapped, client_address)
                except OSError:
                    pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://localhost:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> None:
        """Wait until so many more requests are here."""
        for _ in range(count):
            assert self._arrivals.acquire(timeout=PATIENCE_SECONDS)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["1.2", "1.3"])
def receiver(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Receiver]:
    found = Receiver(authority, request.param)
    yield found
    found.stop()


@pytest.fixture
def ca_file(tmp_path: Path, authority: trustme.CA) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return str(tmp_path / "authority.pem")


def write(folder: Path, issued: trustme.LeafCert, password: str | None = None) -> dict[str, str]:
    """Write a certificate and its key, as an operator has them, and return the settings that name them."""
    certificate, key = folder / "own.pem", folder / "own.key"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes() if password is None else encrypted(issued, password))
    key.chmod(0o600)
    found = {"certificate_file": str(certificate), "key_file": str(key)}
    return found if password is None else {**found, "key_password": password}


def encrypted(issued: trustme.LeafCert, password: str) -> bytes:
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    how = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def with_target(work: Callable[[WebhookTarget], Awaitable[Any]], url: str, clock: Any = None, **settings: Any) -> Any:
    async def run() -> Any:
        target = WebhookTarget("hook", WebhookSettings(url=url, **settings), clock or SystemClock())
        try:
            await target.open()
            return await work(target)
        finally:
            await target.close()

    return asyncio.run(run())


async def send(target: WebhookTarget) -> Outcome:
    (outcome,) = await target.send([Item(sealed("a", 1))])
    return outcome


def test_a_certificate_of_the_receiver_s_authority_is_taken(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    files = write(tmp_path, authority.issue_cert("goldwire@example.com"))
    assert with_target(send, receiver.url, ca_file=ca_file, **files) == Delivered()
    assert receiver.seen == ["goldwire@example.com"]


def test_an_encrypted_key_is_opened_by_its_password(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    files = write(tmp_path, authority.issue_cert("goldwire@example.com"), PASSWORD)
    assert with_target(send, receiver.url, ca_file=ca_file, **files) == Delivered()


def test_one_file_may_hold_certificate_authority_and_key(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    issued = authority.create_child_ca().issue_cert("goldwire@example.com")
    file = tmp_path / "all.pem"
    file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    assert len(issued.cert_chain_pems) == 2
    assert with_target(send, receiver.url, ca_file=ca_file, certificate_file=str(file)) == Delivered()


def test_another_authority_s_certificate_is_refused_by_name_and_no_event_is_to_blame(
    tmp_path: Path, receiver: Receiver, ca_file: str
) -> None:
    outcome = with_target(send, receiver.url, ca_file=ca_file, **write(tmp_path, trustme.CA().issue_cert("me@example.com")))
    assert outcome == Unavailable(
        "the receiver does not accept the client certificate: it does not know the authority of the one it was shown; mend "
        "`certificate_file`"
    )
    assert receiver.seen == []


def test_without_a_certificate_the_reason_says_that_one_is_wanted(receiver: Receiver, ca_file: str) -> None:
    outcome = with_target(send, receiver.url, ca_file=ca_file)
    assert isinstance(outcome, Unavailable)
    assert "certificate" in outcome.reason
    assert receiver.seen == []


def test_an_expired_certificate_is_named_at_opening_and_is_no_fault_of_the_settings(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    files = write(tmp_path, authority.issue_cert("me@example.com", **LONG_AGO))
    with pytest.raises(ConnectionError, match=r"certificate_file has expired, at 2021-01-01T00:00:00\.000000Z; renew it"):
        with_target(send, receiver.url, ca_file=ca_file, **files)
    files = write(tmp_path, authority.issue_cert("me@example.com", **FAR_OFF))
    with pytest.raises(ConnectionError, match="begins at 2120-01-01"):
        with_target(send, receiver.url, ca_file=ca_file, **files)


def test_a_server_that_finds_it_expired_says_so(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    clock = ShiftedClock()
    clock.ahead_seconds = datetime(2020, 6, 1, tzinfo=UTC).timestamp() - time.time()
    files = write(tmp_path, authority.issue_cert("me@example.com", **LONG_AGO))
    outcome = with_target(send, receiver.url, clock, ca_file=ca_file, **files)
    assert isinstance(outcome, Unavailable)
    assert "has expired" in outcome.reason


def test_a_certificate_that_expires_while_the_target_is_open_sends_nothing_until_it_is_renewed(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    clock = ShiftedClock()
    ends = datetime.fromtimestamp(time.time() + 86_400, UTC)
    files = write(tmp_path, authority.issue_cert("old@example.com", not_after=ends))

    async def work(target: WebhookTarget) -> None:
        assert await send(target) == Delivered()
        clock.ahead_seconds = 2 * 86_400
        outcome = await send(target)
        assert isinstance(outcome, Unavailable)
        assert "has expired; renew it" in outcome.reason
        write(tmp_path, authority.issue_cert("new@example.com"))
        assert await send(target) == Delivered()

    with_target(work, receiver.url, clock, ca_file=ca_file, **files)
    assert receiver.seen == ["old@example.com", "new@example.com"]


def test_a_renewed_certificate_is_shown_by_the_next_send_and_a_half_written_one_by_none(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    files = write(tmp_path, authority.issue_cert("old@example.com"))
    renewed = authority.issue_cert("new@example.com")

    async def work(target: WebhookTarget) -> None:
        assert await send(target) == Delivered()
        renewed.cert_chain_pems[0].write_to_path(files["certificate_file"])
        assert await send(target) == Delivered(), "the key of the renewed certificate is not there yet"
        renewed.private_key_pem.write_to_path(files["key_file"])
        assert await send(target) == Delivered()

    with_target(work, receiver.url, ca_file=ca_file, **files)
    assert receiver.seen == ["old@example.com", "old@example.com", "new@example.com"]


def test_files_that_changed_and_cannot_be_used_are_named_once_nothing_can_be_sent(
    tmp_path: Path, authority: trustme.CA, ca_file: str
) -> None:
    receiver, clock = Receiver(authority), ShiftedClock()
    files = write(tmp_path, authority.issue_cert("old@example.com", not_after=datetime.fromtimestamp(time.time() + 60, UTC)))

    async def work(target: WebhookTarget) -> Outcome:
        assert await send(target) == Delivered()
        write(tmp_path, authority.issue_cert("new@example.com"))
        trustme.CA().issue_cert("x@example.com").private_key_pem.write_to_path(files["key_file"])
        clock.ahead_seconds = 120
        return await send(target)

    outcome = with_target(work, receiver.url, clock, ca_file=ca_file, **files)
    receiver.stop()
    assert isinstance(outcome, Unavailable)
    assert "has expired; renew it; the files have changed since, and cannot be used: target 'hook': the key" in outcome.reason


def test_requests_under_way_end_as_they_began_when_the_certificate_is_renewed(
    tmp_path: Path, authority: trustme.CA, receiver: Receiver, ca_file: str
) -> None:
    files = write(tmp_path, authority.issue_cert("old@example.com"))

    async def work(target: WebhookTarget) -> None:
        receiver.may_answer.clear()
        first = asyncio.create_task(target.send([Item(sealed(f"a{number}", 1)) for number in range(20)]))
        await asyncio.to_thread(receiver.wait_for, 4)
        write(tmp_path, authority.issue_cert("new@example.com"))
        second = asyncio.create_task(target.send([Item(sealed(f"b{number}", 1)) for number in range(20)]))
        await asyncio.to_thread(receiver.wait_for, 4)
        receiver.may_answer.set()
        assert {*await first, *await second} == {Delivered()}

    with_target(work, receiver.url, ca_file=ca_file, connections=4, **files)
    assert receiver.seen[:8] == ["old@example.com"] * 4 + ["new@example.com"] * 4
    assert receiver.seen[8:] == ["new@example.com"] * 32


def other_key(folder: Path, issued: trustme.LeafCert) -> dict[str, Any]:
    files = write(folder, issued)
    Path(files["key_file"]).write_bytes(trustme.CA().issue_cert("x@example.com").private_key_pem.bytes())
    return files


def of_a_key(key: Any) -> Callable[[Path, trustme.LeafCert], dict[str, Any]]:
    def make(folder: Path, issued: trustme.LeafCert) -> dict[str, Any]:
        files = write(folder, issued)
        how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        Path(files["key_file"]).write_bytes(key().private_bytes(*how))
        return files

    return make


def holding(setting: str, content: str) -> Callable[[Path, trustme.LeafCert], dict[str, Any]]:
    def make(folder: Path, issued: trustme.LeafCert) -> dict[str, Any]:
        files = write(folder, issued)
        Path(files[setting]).write_text(content)
        return files

    return make


BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
BROKEN_KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
WRONG: list[tuple[Callable[[Path, trustme.LeafCert], dict[str, Any]], str]] = [
    (lambda f, i: {**write(f, i), "certificate_file": "/nowhere.pem"}, "certificate_file: there is no file /nowhere.pem"),
    (lambda f, i: {**write(f, i), "key_file": "/nowhere.key"}, "key_file: there is no file /nowhere.key"),
    (lambda f, i: {**write(f, i), "ca_file": "/nowhere.pem"}, "ca_file: there is no file /nowhere.pem"),
    (lambda f, i: {**write(f, i), "certificate_file": str(f)}, r"certificate_file cannot be read \(Is a directory\)"),
    (other_key, "the key in key_file is not that of the first certificate in certificate_file"),
    (lambda f, i: {**write(f, i, PASSWORD), "key_password": None}, "the key in key_file is encrypted; set key_password"),
    (lambda f, i: {**write(f, i, "another"), "key_password": PASSWORD}, "does not open with key_password"),
    (holding("certificate_file", "none"), "certificate_file holds no certificate in PEM form"),
    (holding("certificate_file", BROKEN), "certificate_file holds a certificate that cannot be read"),
    (holding("key_file", "none"), "key_file holds no private key in PEM form"),
    (holding("key_file", BROKEN_KEY), "the key in key_file cannot be read"),
    (of_a_key(lambda: dsa.generate_private_key(1024)), "of a kind that TLS has no use for"),
    (of_a_key(ed25519.Ed25519PrivateKey.generate), "is not that of the first certificate"),
]


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_what_is_wrong_with_the_files_is_said_at_opening(
    tmp_path: Path, authority: trustme.CA, make: Callable[[Path, trustme.LeafCert], dict[str, Any]], words: str
) -> None:
    settings = make(tmp_path, authority.issue_cert("me@example.com"))
    with pytest.raises(ConfigError, match=words) as caught:
        with_target(send, "https://localhost:9/", **settings)
    assert "target 'hook'" in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"key_file": "x.key"}, "need certificate_file"),
        ({"key_password": PASSWORD}, "need certificate_file"),
        ({"certificate_file": "x.pem", "url": "http://localhost:9/"}, "over https:// alone"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        WebhookSettings(**{"url": "https://localhost:9/", **settings})
    assert PASSWORD not in str(caught.value)


def test_neither_key_nor_password_is_shown(tmp_path: Path, authority: trustme.CA) -> None:
    files = write(tmp_path, authority.issue_cert("me@example.com"), PASSWORD)
    settings = WebhookSettings(url="https://localhost:9/", **files)
    found = read_client_certificate("hook", **files, now=time.time())
    for shown in (repr(settings), rich.pretty.pretty_repr(settings), repr(found), rich.pretty.pretty_repr(found)):
        assert PASSWORD not in shown
        assert "PRIVATE KEY" not in shown
        assert "BEGIN" not in shown


def test_a_check_tells_until_when_it_is_valid_and_who_may_read_the_key(tmp_path: Path, authority: trustme.CA) -> None:
    ends = datetime.fromtimestamp(time.time() + 10 * 86_400, UTC)
    files = write(tmp_path, authority.issue_cert("me@example.com", not_after=ends))

    async def check(target: WebhookTarget) -> list[tuple[str, str, str]]:
        return [(one.subject, one.state, one.text) for one in await target.check() if one.subject != "receiver"]

    ((subject, state, text),) = with_target(check, "https://localhost:9/", **files)
    assert (subject, state) == ("certificate", "note")
    assert ends.strftime("%Y-%m-%d") in text
    Path(files["key_file"]).chmod(0o644)
    write(tmp_path, authority.issue_cert("me@example.com"))
    Path(files["key_file"]).chmod(0o644)
    found = with_target(check, "https://localhost:9/", **files)
    assert [(one[0], one[1]) for one in found] == [("certificate", "ok"), ("key", "note")]
    assert with_target(check, "https://localhost:9/") == []


def test_ssl_cert_file_replaces_the_authorities_of_the_machine(tmp_path: Path, authority: trustme.CA, ca_file: str) -> None:
    """So a target trusts the authorities of one file alone."""
    receiver = Receiver(authority)
    files = write(tmp_path, authority.issue_cert("me@example.com"))
    code = f"""
import asyncio, os
from goldwire.clock import SystemClock
from goldwire.targets.base import Item
from goldwire.targets.webhook.settings import WebhookSettings
from goldwire.targets.webhook.target import WebhookTarget
from goldwire.testing.events import sealed

async def run():
    target = WebhookTarget("hook", WebhookSettings(url={receiver.url!r}, **{files!r}), SystemClock())
    await target.open()
    print((await target.send([Item(sealed("a", 1))]))[0], flush=True)
    await target.close()

asyncio.run(run())
os._exit(0)  # what the library does as Python ends is another matter
"""
    said = {}
    for name, environment in (("set", {"SSL_CERT_FILE": ca_file}), ("unset", {})):
        kept = {key: value for key, value in os.environ.items() if key not in {"SSL_CERT_FILE", "SSL_CERT_DIR"}}
        done = subprocess.run(
            [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=60, check=True
        )
        said[name] = done.stdout
    receiver.stop()
    assert "Delivered" in said["set"]
    assert "its TLS certificate is not trusted" in said["unset"]


NGINX = """
{user}
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; access_log off;
  server {{
    listen 127.0.0.1:{port} ssl; server_name localhost;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
    ssl_client_certificate {folder}/authority.pem; ssl_verify_client on;
    location / {{ return 204; }}
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path, authority: trustme.CA) -> Iterator[str]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx)")
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    user = "user root;" if os.geteuid() == 0 else ""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_address[1]
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, user=user))
    process = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")])
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "pid").exists():
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    yield f"https://localhost:{port}/hook"
    process.terminate()
    process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("batch", ["single", "array"])
def test_nginx_refuses_with_a_page_and_400_which_kills_no_event(
    tmp_path: Path, authority: trustme.CA, nginx: str, ca_file: str, batch: str
) -> None:
    async def send_two(target: WebhookTarget) -> set[Outcome]:
        return {*await target.send([Item(sealed("a", 1)), Item(sealed("b", 1))])}

    good = write(tmp_path, authority.issue_cert("me@example.com"))
    assert with_target(send_two, nginx, ca_file=ca_file, batch=batch, **good) == {Delivered()}
    refused = Unavailable("the receiver does not accept the client certificate; mend `certificate_file`: HTTP 400 (text/html)")
    assert with_target(send_two, nginx, ca_file=ca_file, batch=batch) == {refused}
    wrong = write(tmp_path, trustme.CA().issue_cert("me@example.com"))
    assert with_target(send_two, nginx, ca_file=ca_file, batch=batch, **wrong) == {refused}
