"""How a `service_bus` target is opened and checked: what is missing, forbidden or contradicts its settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.servicebus.management import QueueProperties

from goldwire.targets.azure.service_bus.check import findings_of
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.emulator import ROOT, Emulator
from support.azure_opening_suite import AzureOpeningSuite
from support.bus_stage import CONFIG, PLAIN, SESSIONS, TOPIC, bus_target
from support.emulator_stage import SEND_ONLY, run_on_emulator
from support.target_use import opened


class TestServiceBusOpening(AzureOpeningSuite):
    config = CONFIG
    entity = "queue"
    settings_type = ServiceBusSettings
    target_type = ServiceBusTarget

    def target(self, emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> ServiceBusTarget:
        return bus_target(emulator, policy, **settings)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"namespace": "mdm"}, "either queue or topic"),
            ({"namespace": "mdm", "queue": "q", "topic": "t"}, "either queue or topic"),
            ({"queue": "q"}, "set namespace"),
            ({"queue": "q", "connection_string": SECRET, "sas_token": SECRET}, "not both"),
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, settings: dict[str, Any], says: str) -> None:
        self.refuses(settings, says)


@pytest.mark.parametrize(
    ("queue", "sessions", "policy", "state", "says"),
    [
        (SESSIONS, True, ROOT, "ok", "has sessions, as set"),
        (SESSIONS, False, ROOT, "fix", "set sessions: true"),
        (PLAIN, True, ROOT, "fix", "may overtake each other"),
        (PLAIN, False, ROOT, "ok", "no sessions, as set"),
        (SESSIONS, True, SEND_ONLY, "note", "cannot be seen"),
    ],
)
def test_a_check_compares_sessions_with_the_setting(queue: str, sessions: bool, policy: Policy, state: str, says: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, policy, queue=queue, sessions=sessions)) as target:
            found = {finding.subject: finding for finding in await target.check()}
        assert found["sessions"].state == state, found
        assert says in found["sessions"].text
        assert ("may read too" in found["rights"].text) == (policy is ROOT)
        assert "262,144" in found["message size"].text

    run_on_emulator(CONFIG, check)


@pytest.mark.parametrize(
    ("settings", "subject", "fix"),
    [
        ({"queue": TOPIC}, "queue", f"set topic: {TOPIC}"),
        ({"topic": SESSIONS}, "topic", f"set queue: {SESSIONS}"),
        ({"topic": PLAIN}, "topic", f"set queue: {PLAIN}"),
    ],
)
def test_a_check_tells_a_topic_from_a_queue(settings: dict[str, str], subject: str, fix: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, ROOT, **settings)) as target:
            [wrong] = [finding for finding in await target.check() if finding.state == "fix"]
        assert wrong.subject == subject
        assert fix in wrong.text

    run_on_emulator(CONFIG, check)


def test_a_check_does_not_praise_a_key_of_which_nothing_can_be_told() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, ROOT, topic=TOPIC)) as target:
            found = {finding.subject: finding for finding in await target.check()}
        assert found["rights"].state == "note"
        assert "cannot be seen" in found["rights"].text
        assert "Send alone suffices" in found["rights"].text

    run_on_emulator(CONFIG, check)


def queue_properties(**more: Any) -> QueueProperties:
    """What the SDK makes of the management API's answer."""
    plain: dict[str, Any] = {
        "authorization_rules": None, "auto_delete_on_idle": None, "dead_lettering_on_message_expiration": None,
        "default_message_time_to_live": None, "duplicate_detection_history_time_window": timedelta(minutes=10),
        "availability_status": None, "enable_batched_operations": None, "enable_express": None, "enable_partitioning": False,
        "lock_duration": None, "max_delivery_count": None, "max_size_in_megabytes": None,
        "requires_duplicate_detection": True, "requires_session": True, "status": "Active", "forward_to": None,
        "user_metadata": None, "forward_dead_lettered_messages_to": None, "max_message_size_in_kilobytes": 256,
    }  # fmt: skip
    return QueueProperties(SESSIONS, **{**plain, **more})


@pytest.mark.parametrize(
    ("properties", "subject", "state"),
    [
        ({}, "duplicate detection", "ok"),
        ({"duplicate_detection_history_time_window": timedelta(seconds=30)}, "duplicate detection", "note"),
        ({"requires_duplicate_detection": False}, "duplicate detection", "note"),
        ({"requires_session": False}, "sessions", "fix"),
        ({"enable_partitioning": True}, "partitioned", "fix"),
        ({"status": "Disabled"}, "status", "fix"),
        ({}, "entity size limit", "ok"),
    ],
)
def test_what_the_management_api_says_is_compared_with_the_settings(
    properties: dict[str, Any], subject: str, state: str
) -> None:
    found = findings_of(queue_properties(**properties), [], ServiceBusSettings(queue=SESSIONS, namespace="mdm"))
    assert {finding.subject: finding.state for finding in found}[subject] == state


def test_a_topic_without_subscriptions_would_lose_everything() -> None:
    found = findings_of(queue_properties(), [], ServiceBusSettings(topic=TOPIC, namespace="mdm"))
    assert "what is sent now is lost" in {finding.subject: finding.text for finding in found}["subscriptions"]
