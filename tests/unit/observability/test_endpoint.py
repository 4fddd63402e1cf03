"""The endpoint serves three pages and nothing else, and an address is read as people write it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from goldwire.errors import ConfigError
from goldwire.observability.endpoint import Address, Endpoint, Report
from goldwire.observability.metrics import INGEST_ROWS, LAG, Recorder


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert Address.of(text) == address


@pytest.mark.parametrize("text", ["", "9464", ":9464", "host:", "host:0", "host:65536", "host:x", "::1:80", "[]:80", "host:²"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give HOST:PORT, e\.g\. 127\.0\.0\.1:9464"):
        Address.of(text)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(CollectorRegistry())


@pytest.fixture
def _served(port: int, recorder: Recorder) -> Iterator[None]:
    endpoint = Endpoint(
        Address("127.0.0.1", port),
        recorder.registry,
        lambda: Report(well=True, document={"healthy": True}),
        lambda: Report(well=False, document={"ready": False}),
    )
    yield
    endpoint.close()


def fetched(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path)
    answer = connection.getresponse()
    read = answer.status, answer.read().decode()
    connection.close()
    return read


@pytest.mark.usefixtures("_served")
def test_there_are_three_pages_and_nothing_else(port: int, recorder: Recorder) -> None:
    recorder.gauge(LAG, "crm", value=4)
    recorder.total(INGEST_ROWS, "s", value=7)
    status, metrics = fetched(port, "/metrics?name[]=x")
    assert status == 200
    assert 'goldwire_lag_changes{target="crm"} 4.0' in metrics.splitlines()
    assert 'goldwire_ingest_rows_total{source="s"} 7.0' in metrics.splitlines()
    assert fetched(port, "/health") == (200, '{"healthy": true}\n')
    assert fetched(port, "/ready") == (503, '{"ready": false}\n')
    assert [fetched(port, path)[0] for path in ("/", "/metrics/", "/nothing")] == [404, 404, 404]
    assert fetched(port, "/metrics", "HEAD") == (200, "")
    assert fetched(port, "/metrics", "POST")[0] == 501


def test_a_forgotten_target_has_no_gauges_any_more(recorder: Recorder) -> None:
    recorder.gauge(LAG, "crm", value=4)
    recorder.gauge(LAG, "erp", value=1)
    recorder.forget("crm")
    recorder.forget("never seen")
    names = {sample.labels["target"] for family in recorder.registry.collect() for sample in family.samples}
    assert names == {"erp"}
