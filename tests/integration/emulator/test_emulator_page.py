"""The examples on the page of the emulator run."""

import re
from pathlib import Path

import pytest

from goldwire_emulator.broker.config import BrokerConfig, objections, parse_config
from goldwire_emulator.broker.entities import HubSettings, QueueSettings

PAGE = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
FIRST, SECOND = 'send_event(EventData("hello")', "get_queue_sender"
SHOWN = BrokerConfig(hubs=(HubSettings("eh1", 4),), queues=(QueueSettings(name="queue.sessions", requires_session=True),))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def example(text):
    """Return the one example that holds a text."""
    (found,) = [block for block in blocks("python") if text in block]
    return found


def run(text):
    exec(compile(text, "an example of the page", "exec"), {})


def test_the_configuration_is_one():
    (text,) = blocks("json")
    config = parse_config(text)
    assert ([hub.name for hub in config.hubs], [queue.name for queue in config.queues]) == (["golden"], ["crm"])
    assert objections(config) == []


def test_the_connection_string_is_the_emulators(start):
    ours = re.sub(r":\d+", ":5672", start(SHOWN).connection_string())
    assert f"ready: {ours}\n" in PAGE
    for text in (FIRST, SECOND):
        written = re.search(r'"(Endpoint=[^"]*)"\s*"([^"]*)"', example(text))
        assert written[1] + written[2] == ours


def test_the_examples_reach_a_running_emulator(start):
    peer = start(SHOWN)
    for text in (FIRST, SECOND):
        run(example(text).replace(":5672", f":{peer.emulator.server.port}"))
    hub = peer.emulator.broker.event_hubs.hub("eh1")
    assert sum(peer.call(hub.state, name).last_sequence_number + 1 for name in hub.partition_ids) == 1


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")  # the same, for aio
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")  # and so late
@pytest.mark.usefixtures("collected")
def test_the_example_of_a_test_runs():
    run(example("asyncio.run(main())"))
