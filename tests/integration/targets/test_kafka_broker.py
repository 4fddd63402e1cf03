"""The `kafka` target against a broker in a process of its own: noida-db, which the test installs from PyPI."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Item
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from goldwire_emulator.kafka.cluster import read_topic

TOPIC = "golden"

pytestmark = pytest.mark.optional


class TestKafkaBroker(TargetSuite):
    fences = False
    rejects = True
    interruptible = True

    @pytest.fixture(autouse=True)
    def install(self, installer: Any) -> None:
        # The command of this name is a script that would survive its server, or leave it behind.
        self.program = installer.from_pypi("noida-db==0.2.3") / "noida_db" / "noida-db"
        self.program.chmod(0o755)

    async def set_up(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        await asyncio.to_thread(self.start)
        await asyncio.to_thread(self.create)

    async def tear_down(self) -> None:
        await asyncio.to_thread(self.end)

    def start(self) -> None:
        words = ["start", "--only", "kafka", "--kafka-port", str(self.port), "--data-dir", str(self.folder / "noida")]
        self.process = subprocess.Popen([self.program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "noida-db ended by itself"
                time.sleep(0.05)
            else:
                return
        raise AssertionError("noida-db did not start")

    def create(self) -> None:
        topic = NewTopic(TOPIC, num_partitions=4, replication_factor=1)
        admin = self.admin()
        admin.create_topics([topic])[TOPIC].result(30)

    def grow(self) -> None:
        admin = self.admin()
        admin.create_partitions([NewPartitions(TOPIC, 8)])[TOPIC].result(30)

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}"})

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def make_target(self, **settings: Any) -> KafkaTarget:
        destination: dict[str, Any] = {"bootstrap_servers": (f"127.0.0.1:{getattr(self, 'port', 1)}",), "topic": TOPIC}
        more = {"message_bytes_max": 2_000_000, "timeout_seconds": 8.0, "connect_timeout_seconds": 8.0}
        return KafkaTarget("k", KafkaSettings(**destination, **more, **settings, tls=False, key_password=SECRET), self.clock)

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="x" * 3_000_000)

    async def held(self, entity_id: str) -> Held | None:
        records = await asyncio.to_thread(read_topic, f"127.0.0.1:{self.port}", TOPIC)
        events = [event for record in records if (event := json.loads(record.value()))["entityId"] == entity_id]
        held = max(events, key=lambda event: event["version"], default=None)
        if held is None or held["eventType"] == "EntityDeleted":
            return None
        return Held(held["version"], {name: one["value"] for name, one in held["changes"]["attributes"].items()})

    async def take_down(self) -> None:
        await asyncio.to_thread(self.end)

    async def bring_up(self) -> None:
        await asyncio.to_thread(self.start)

    def test_a_check_sees_the_limits_of_the_topic(self) -> None:
        async def check(target: KafkaTarget) -> None:
            found = {finding.subject: finding for finding in await target.check()}
            assert found["message size"].state == "fix"  # 2,000,000, which this broker's topics do not take
            assert "the topic takes 1,048,588" in found["message size"].text
            assert found["replicas"].state == found["replicas in sync"].state == found["rights"].state == "note"

        self.run(check)

    def test_added_partitions_stop_a_target_that_knows_their_number(self) -> None:
        async def check(_: KafkaTarget) -> None:
            target = self.make_target(partitions=4)
            await target.open()
            assert list(await target.send([Item(self.event("a", 1))])) == [Delivered()]
            await asyncio.to_thread(self.grow)
            with pytest.raises(ConfigError, match="it has 8 partitions"):
                await target.open()
            await target.close()

        self.run(check)

    def test_the_order_of_an_entity_survives_restarts_of_the_broker(self) -> None:
        """As the relay does: the same event again, and nothing newer before it is taken."""

        async def check(target: KafkaTarget) -> None:
            for version in range(1, 31):
                if version % 8 == 0:
                    await asyncio.to_thread(
                        self.end
                    )  # gracefully: it does not write through, and a kill would lose what it holds
                    restarting = asyncio.create_task(asyncio.to_thread(self.start))
                waiting = [Item(self.event(f"e{n}", version)) for n in range(20)]
                while waiting:
                    outcomes = await target.send(waiting)
                    waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
                if version % 8 == 0:
                    await restarting

        self.run(check)
        self.start()
        try:
            versions: dict[str, list[int]] = {}
            for record in read_topic(f"127.0.0.1:{self.port}", TOPIC):
                event = json.loads(record.value())
                versions.setdefault(event["entityId"], []).append(event["version"])
        finally:
            self.end()
        for found in versions.values():
            assert found == sorted(found)
            assert set(found) == set(range(1, 31))
        assert len(versions) == 20
