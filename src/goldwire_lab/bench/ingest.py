"""Ingest: from facts to committed versions, with identity by match keys and survivorship by source."""

from __future__ import annotations

from goldwire.errors import VerificationError
from goldwire_lab.bench import floor, sample
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import in_turns
from goldwire_lab.bench.setting import Setting


def ingest(setting: Setting) -> Throughput:
    """Measure mastering and commit; every fact leads to one version."""
    facts = sample.facts(setting.events)

    def bare(number: int) -> None:
        rows = floor.ingested(facts, setting.folder / f"floor-{number}.db")
        setting.tick(rows)

    def mastered(number: int) -> None:
        folder = setting.folder / f"round-{number}"
        with sample.application(folder, folder / "store.db", {}) as application:
            service, versions = application.ingest_service(), 0
            for begin in range(0, len(facts), sample.BATCH):
                batch = facts[begin : begin + sample.BATCH]
                versions += service.batch(batch, "bench").versions
                setting.tick(len(batch))
            if not versions == application.store.position() == len(facts):
                raise VerificationError(f"{len(facts)} facts led to {versions} versions, one each was to be expected")

    rounds = in_turns(setting.rounds, bare, mastered)
    return throughput(
        "ingest",
        "facts of two systems to versions: match keys, survivorship, log, heads",
        "bare insert of encoded rows into a table like the log",
        setting.events,
        rounds,
        Wanted(per_second=10_000, unit="facts"),
    )
