from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from goldwire.targets.clients.http import HttpClient, NotSentError, Reply, is_loopback, retry_after_seconds

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90.0),
        ("Friday, 15-Jan-27 08:01:30 GMT", 90.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, 999_999_999.0),
        ("٣", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(given: str, seconds: float | None) -> None:
    assert retry_after_seconds(Reply(429, {"retry-after": given}, b""), NOON) == seconds


@pytest.mark.parametrize(
    ("url", "here"), [("http://localhost:1/", True), ("http://127.9.9.9/", True), ("http://[::1]/x", True)]
)
def test_loopback_is_told_from_elsewhere(url: str, here: bool) -> None:
    assert is_loopback(url) is here
    assert not is_loopback(url.replace("localhost", "localhost.example").replace("127.9.9.9", "10.0.0.1").replace("::1", "::2"))


def test_a_description_holds_status_and_media_type_alone() -> None:
    reply = Reply(502, {"content-type": "text/HTML; charset=geheim", "x": "geheim"}, b"geheim")
    assert reply.described() == "HTTP 502 (text/html)"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/geheim", "http://geheim.invalid/", "http://exa mple/geheim", "geheim"])
def test_an_error_never_holds_the_url(url: str) -> None:
    async def run() -> None:
        client = HttpClient(timeout_seconds=2, connect_timeout_seconds=1, answer_limit_bytes=1000, proxied=False)
        try:
            with pytest.raises(NotSentError) as caught:
                await client.request("POST", url, {}, b"")
            assert "geheim" not in str(caught.value)
        finally:
            await client.close()

    asyncio.run(run())


THREADS = """
import asyncio, os, threading
from goldwire.targets.clients.http import HttpClient, NotSentError

async def use():
    client = HttpClient(timeout_seconds=2, connect_timeout_seconds=1, answer_limit_bytes=1000, proxied=False)
    try:
        await client.request("POST", "http://127.0.0.1:0/", {}, b"")
    except NotSentError:
        print("used", flush=True)
    await client.close()

for _ in range(30):
    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join()
os._exit(0)  # what the library does as Python ends is another matter
"""


def test_threads_that_end_may_use_it_one_after_another() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["used"] * 30), done.stderr
