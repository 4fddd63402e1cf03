"""A target lost what it held: it is sent again, byte for byte and in order."""

from __future__ import annotations

from pathlib import Path

from customers import configuration, events

from goldwire import Goldwire
from goldwire.python_api import ReplayRequest

file = Path("out/events.jsonl")

with Goldwire.open(configuration(targets={"events": events(str(file))})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.run()
    sent = file.read_bytes().splitlines()
    print(f"sent: {len(sent)} events")

    file.unlink()  # the consumer lost its disk
    one = goldwire.replay("events", ReplayRequest(entities=("crm/C-1",)), why="only Ada, to begin with")
    print(f"{one.state}: {one.tally.events} event of one customer repeated")
    whole = goldwire.replay("events", why="and now the rest")
    print(f"{whole.state}: {whole.tally.events} events repeated, of which {whole.tally.duplicates} was held again already")

print("the same bytes:", file.read_bytes().splitlines() == sent)
