"""The proof: what became of every change, counted twice, and the chains of what the target received."""

from __future__ import annotations

from pathlib import Path

from customers import configuration, events

from goldwire import Goldwire

file = Path("out/events.jsonl")

with Goldwire.open(configuration(targets={"events": events(str(file))})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.ingest("billing")
    goldwire.run()
    [ledger] = goldwire.ledger(recount=True)

print(
    f"{ledger.committed} committed = {ledger.delivered} delivered + {ledger.superseded} superseded + {ledger.pending} pending"
)
print("the recount agrees:", ledger.recounted == ledger.terms, "and it balances:", ledger.balanced)

proven = Goldwire.verify(file)
print(f"{proven.events} events of {proven.entities} entities, whole: {proven.whole}")

lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
file.write_text("".join(lines[1:]).replace("London", "Paris"), encoding="utf-8")
Goldwire.verify(file, found=lambda _, finding: print(f"after tampering, line {finding.line}: {finding.kind}"))
