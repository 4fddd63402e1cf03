"""What the examples share: a model of customers, and two files about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"

MODEL: dict[str, Any] = {
    "tags": {"pii": {"description": "Says who a person is."}},
    "types": {
        "Customer": {
            "attributes": {"name": {"tags": ["pii"]}, "email": {"tags": ["pii"]}, "city": {}},
            "match": [{"name": "same e-mail", "equal": ["email"], "normalise": {"email": ["casefold"]}}],
            "survivorship": ["source_priority", "most_recent"],
            "systems": ["crm", "billing"],
        }
    },
    "sources": {
        "crm": {
            "system": "crm", "type": "Customer", "id": "id", "path": str(DATA / "crm.csv"), "observed_at": "updated_at",
            "attributes": {"name": "full_name", "email": "e_mail", "city": "city"},
        },
        "billing": {
            "system": "billing", "type": "Customer", "id": "account", "path": str(DATA / "billing.csv"),
            "observed_at": "changed_at", "attributes": {"name": "holder", "email": "mail", "city": "town"},
        },
    },
    "contracts": {"whole": {"golden": False}},
}  # fmt: skip


def configuration(**more: Any) -> dict[str, Any]:
    """Return a configuration: the model, and what one example adds to it."""
    return {**MODEL, **more}


def events(path: str = "out/events.jsonl") -> dict[str, Any]:
    """Return a target that appends each event to a file."""
    return {
        "kind": "file", "contract": "whole", "clearance": ["pii"], "settings": {"path": path}, "delivery": {"mode": "every"}
    }  # fmt: skip
