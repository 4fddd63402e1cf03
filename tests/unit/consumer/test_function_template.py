"""The template of the example `azure-function`. No compiler of Bicep is at hand: grammar, names and rights are checked.

What only the compiler and Azure know (types, API versions) shows when it is deployed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

TEMPLATE = Path(__file__).parents[3] / "examples" / "azure-function" / "infra" / "main.bicep"
FUNCTIONS = {"guid", "resourceGroup", "subscriptionResourceId", "take", "uniqueString"}
"""Of Bicep itself, those that the template calls."""
ROLES = {
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
}
"""As Azure's list of built-in roles has them."""


def parsed(text: bytes) -> Node:
    return Parser(Language(tree_sitter_bicep.language())).parse(text).root_node


def inside(node: Node, kind: str) -> Iterator[Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from inside(child, kind)


def text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def named(tree: Node, kind: str) -> dict[str, Node]:
    return {text(node.children[1]): node for node in inside(tree, kind)}


def is_reference(node: Node) -> bool:
    """Whether an identifier refers to something, other than by naming a property, a declaration or a function."""
    parent = node.parent
    assert parent is not None
    if parent.type == "object_property":
        return node != parent.children[0]
    return not parent.type.endswith("_declaration") and parent.type != "call_expression"


@pytest.fixture(scope="module")
def tree() -> Node:
    return parsed(TEMPLATE.read_bytes())


def property_of(resource: Node, name: str) -> str:
    [found] = [one for one in inside(resource, "object_property") if text(one.children[0]) == name]
    return text(found.children[-1])


def test_the_grammar_takes_the_template_and_no_broken_one(tree: Node) -> None:
    assert not tree.has_error
    assert parsed(TEMPLATE.read_bytes().replace(b"properties: {", b"properties: ", 1)).has_error


def test_each_name_is_declared_and_each_declared_name_is_used(tree: Node) -> None:
    declared = named(tree, "parameter_declaration") | named(tree, "variable_declaration") | named(tree, "resource_declaration")
    used = {text(node) for node in inside(tree, "identifier") if is_reference(node)}
    assert used <= set(declared)
    grants = {
        name for name, node in named(tree, "resource_declaration").items() if "roleAssignments@" in text(node.children[2])
    }
    assert set(declared) - used == grants
    assert {text(call.children[0]) for call in inside(tree, "call_expression")} <= FUNCTIONS | {
        "description", "minLength", "maxLength",
    }  # fmt: skip


def test_the_identity_may_read_one_hub_and_one_queue_and_own_its_storage_and_nothing_else(tree: Node) -> None:
    roles = dict(re.findall(r"(\w+): '([0-9a-f-]{36})'", text(named(tree, "variable_declaration")["roles"])))
    granted = {}
    for node in inside(tree, "resource_declaration"):
        if "roleAssignments@" in text(node.children[2]):
            [role] = set(re.findall(r"roles\.(\w+)", text(node)))
            granted[property_of(node, "scope")] = ROLES[roles[role]]
    assert granted == {
        "hub": "Azure Event Hubs Data Receiver",
        "sessionQueue": "Azure Service Bus Data Receiver",
        "storage": "Storage Blob Data Owner",
    }
    assert len(roles) == len(granted)
    assert property_of(named(tree, "resource_declaration")["storage"], "allowSharedKeyAccess") == "false"
