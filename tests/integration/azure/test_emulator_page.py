"""The examples on the page of the emulator run."""

import re
from pathlib import Path

import pytest

from goldwire.testing.azure.broker.config import objections, parse_config

PAGE = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_configuration_is_one():
    (text,) = blocks("json")
    config = parse_config(text)
    assert ([hub.name for hub in config.hubs], [queue.name for queue in config.queues]) == (["golden"], ["crm"])
    assert objections(config) == []


def test_the_first_example_reaches_a_running_emulator(peer):
    text = blocks("python")[0]
    given = re.search(r'"(Endpoint=[^"]*)"\s*"([^"]*)"', text)
    ours = peer.connection_string()
    assert re.sub(r":\d+", ":5672", ours) == given[1] + given[2]
    text = text.replace(":5672", f":{peer.emulator.server.port}").replace("eh1", "orders")
    exec(compile(text, "the first example", "exec"), {})
    assert (
        sum(peer.call(peer.emulator.broker.event_hubs.hub("orders").state, name).last_sequence_number + 1 for name in "0123")
        == 1
    )


@pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")  # the same, for aio
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")  # and so late
@pytest.mark.usefixtures("collected")
def test_the_example_of_a_test_runs():
    exec(compile(blocks("python")[2], "the example of a test", "exec"), {})
