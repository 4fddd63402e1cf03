"""Microsoft's JavaScript SDKs, from npm and unmodified, against the emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings, SubscriptionSettings, TopicSettings

SCRIPTS = Path(__file__).parents[2] / "support" / "javascript"
ENTITIES = BrokerConfig(
    hubs=(HubSettings("orders", 4),),
    queues=(QueueSettings(name="queue.1"), QueueSettings(name="queue.sessions", requires_session=True)),
    topics=(TopicSettings(name="topic.1", subscriptions=(SubscriptionSettings(name="subscription.1"),)),),
)

pytestmark = [pytest.mark.optional, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the SDKs."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: install Node.js 20 or newer to try the JavaScript SDKs")
    folder = tmp_path_factory.mktemp("javascript") / "scripts"
    shutil.copytree(SCRIPTS, folder)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=500, check=False
    )
    if done.returncode:
        pytest.skip(f"npm could not install the SDKs: {done.stderr.strip().splitlines()[-1]}")
    return folder


def run(modules: Path, script: str, *words: str, **environment: str) -> dict[str, Any]:
    """Run a script and return the one line that it prints."""
    done = subprocess.run(
        ["node", script, *words], cwd=modules, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_event_hubs_are_described_sent_to_and_read(modules: Path, start: Any) -> None:
    peer = start(ENTITIES)
    found = run(modules, "event_hubs.js", peer.connection_string(), "orders")
    assert found == {"partitions": 4, "empty": True, "seen": [[{"a": 1}, "k", None], ["x", "k", 5]]}


def test_queues_and_sessions_are_used_and_a_message_without_an_id_gets_one(modules: Path, start: Any) -> None:
    peer = start(ENTITIES)
    found = run(modules, "service_bus.js", peer.connection_string())
    given = found["received"][0][1]
    assert len(given) == 32
    assert found == {
        "peeked": [{"a": 1}, "x"], "received": [[{"a": 1}, given], ["x", "m2"]], "left": 0, "state": "noted",
        "dead": ["s", "why"],
    }  # fmt: skip


def test_the_management_api_is_read(modules: Path, start: Any, certificates: Any) -> None:
    peer = start(ENTITIES, tls=certificates.context, https_port=0)
    policy = peer.connection_string().partition(";")[2].replace(";UseDevelopmentEmulator=true", "")
    address = f"Endpoint=sb://localhost:{peer.emulator.https.port};{policy}"
    found = run(modules, "administration.js", address, NODE_EXTRA_CA_CERTS=certificates.file)
    assert found == {
        "queue": ["queue.1", 10, "Active"], "queues": ["queue.1", "queue.sessions"], "topics": ["topic.1"],
        "subscriptions": ["subscription.1"], "exists": [True, False], "refused": "MessageEntityNotFoundError",
    }  # fmt: skip
