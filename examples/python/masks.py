"""A target that is not cleared for personal data sees it masked, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from customers import MODEL, configuration

from goldwire import Goldwire
from goldwire.errors import ContractError

partner = {"kind": "file", "contract": "masked", "settings": {"path": "out/partner.jsonl"}}
masked = {"golden": False, "attributes": ["name", "email", "city"], "masks": {"name": "redact", "email": "partial"}}
unmasked = {**masked, "masks": {}}

with Goldwire.open(configuration(contracts={"masked": masked}, targets={"partner": partner})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.run()

event = json.loads(Path("out/partner.jsonl").read_text(encoding="utf-8").splitlines()[0])
print("the partner sees", {name: one["value"] for name, one in event["changes"]["attributes"].items()})

with Goldwire.open({**MODEL, "contracts": {"masked": unmasked}, "targets": {"partner": partner}}) as goldwire:
    try:
        goldwire.apply()
    except ContractError as error:
        print("without the masks nothing is applied:", str(error).partition(": ")[2])
