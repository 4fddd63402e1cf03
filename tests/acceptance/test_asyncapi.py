"""`goldwire schema --asyncapi`, as YAML and as JSON; optionally read by the AsyncAPI Initiative's own parser, from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

SCRIPT = Path(__file__).parents[1] / "support" / "javascript" / "asyncapi_parser.js"
TARGETS = """\
  shop:
    kind: webhook
    contract: masked
    settings: { url: "https://shop.example/hooks", signing_secrets: ["${env:SHOP_SECRET}"], envelope: ENVELOPE }
  stream:
    kind: kafka
    contract: masked
    settings: { bootstrap_servers: ["${env:BROKERS}"], topic: golden, null_after_delete: true }
  hub:
    kind: event_hubs
    contract: masked
    settings: { connection_string: "${env:EVENTHUB}", hub: golden, envelope: cloudevents-structured }
  bus:
    kind: service_bus
    contract: everything
    clearance: [pii]
    settings: { namespace: "${env:NAMESPACE}", topic: golden, envelope: cloudevents-binary }

log:
"""


@pytest.fixture
def described(shell: Any) -> Any:
    shell.lay_out()
    shell.edit("log:\n", TARGETS.replace("ENVELOPE", "cloudevents-batch"))
    return shell


def test_yaml_is_the_default_and_says_the_same_as_json(described: Any) -> None:
    said = described.run("schema", "--asyncapi")
    assert said.stderr == ""
    found = yaml.safe_load(said.stdout)
    assert found == described.json("schema", "--asyncapi")
    assert found["asyncapi"] == "3.0.0"
    assert list(found["channels"]) == ["shop", "stream", "hub", "bus"]
    assert "&id" not in said.stdout


def test_one_target_alone_and_what_cannot_be_described(described: Any) -> None:
    assert list(described.json("schema", "stream", "--asyncapi")["channels"]) == ["stream"]
    assert "target 'events' is of kind 'file'" in described.fails("schema", "events", "--asyncapi", code=3)
    assert "has no target none" in described.fails("schema", "none", "--asyncapi", code=11)
    assert "not for both" in described.run("schema", "--asyncapi", "--configuration", code=2).stderr


def test_without_the_option_nothing_changed(described: Any) -> None:
    assert described.json("schema", "stream") == json.loads(described.run("schema", "stream").stdout)
    assert json.loads(described.run("schema", "--configuration").stdout)["$schema"]
    described.run("schema", code=2)


@pytest.mark.optional
@pytest.mark.timeout(600)
@pytest.mark.parametrize("envelope", ["event", "cloudevents-structured", "cloudevents-binary", "cloudevents-batch"])
def test_the_parser_of_the_asyncapi_initiative_has_no_complaint(
    shell: Any, envelope: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: install Node.js 20 or newer to try the parser of AsyncAPI")
    shell.lay_out()
    shell.edit("log:\n", TARGETS.replace("ENVELOPE", envelope))
    folder = tmp_path_factory.getbasetemp() / "asyncapi"
    if not (folder / "done").exists():
        folder.mkdir(exist_ok=True)
        words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "@asyncapi/parser@^3.4"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install the parser: {done.stderr.strip().splitlines()[-1]}")
        (folder / "done").touch()
    shutil.copy(SCRIPT, folder)
    (folder / "asyncapi.yaml").write_text(shell.run("schema", "--asyncapi").stdout, encoding="utf-8")
    done = subprocess.run(
        ["node", SCRIPT.name, "asyncapi.yaml"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one for one in found["complaints"] if one[0] < 2] == [], "errors and warnings; hints are about taste"
    assert found["version"] == "3.0.0"
    assert ["stream", "{brokers}", "kafka-secure"] in found["servers"]
    changed = ["Customer.EntityChanged", "EntityDeleted"]
    wanted = {"shop": changed if envelope != "cloudevents-batch" else ["Events"], "hub": changed, "bus": changed}
    assert {name: set(names) for name, _, names in found["messages"] if name != "send.stream"} == {
        f"send.{name}": set(names) for name, names in wanted.items()
    }
