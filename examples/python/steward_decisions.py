"""What a person decides: two records are one customer, and one value is wrong."""

from __future__ import annotations

from customers import configuration, events

from goldwire import Goldwire

merge = {
    "decision": "merge", "record": {"system": "billing", "id": "B-79"}, "intoRecord": {"system": "crm", "id": "C-3"},
    "by": "dana", "reason": "one person; checked by phone",
}  # fmt: skip
override = {
    "decision": "override",
    "record": {"system": "crm", "id": "C-1"},
    "attribute": "city",
    "value": "Bath",
    "by": "dana",
}

with Goldwire.open(configuration(targets={"events": events()})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.ingest("billing")
    done = goldwire.ingest_rows([merge, override])
    print(f"{done.decisions} decisions: {done.merges} merge, {done.versions} versions")
    goldwire.run()

    ada = goldwire.entity("crm/C-1")
    print(f"crm/C-1 is at version {ada.version}; city: {ada.state['attributes']['city']['value']}")
    print(
        "billing/B-79 and crm/C-3 are one:", goldwire.entity("billing/B-79").entity_id == goldwire.entity("crm/C-3").entity_id
    )
    [held] = ada.targets
    print(f"{held.target} holds version {held.version}")
