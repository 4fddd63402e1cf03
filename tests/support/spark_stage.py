"""A Spark from PyPI in this process, and a stream of files that `goldwire_consumer.spark` mirrors into a table."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldwire_consumer import DeadLetter, Outcome, from_line
from goldwire_consumer.spark import BatchSummary, DriverDeltaTable, EntityTable, ParquetTable, foreach_batch

REQUIREMENTS = ("pyspark==4.2.0", "deltalake==1.6.6", "pandas==2.3.3", "nbformat==5.11.1")
PATIENCE_SECONDS = 900.0
"""To install them: half a gigabyte."""


SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
}
"""Of a session that is small: Spark's own 200 partitions are for a cluster."""


def environment_of(site: Path) -> dict[str, str]:
    """What a process needs to run Spark from a folder `site-packages`; its workers are Pythons like this one."""
    words = [f"--conf {name}={value}" for name, value in SETTINGS.items()]
    return {
        "PYTHONPATH": str(site),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": f"--master local[2] {' '.join(words)} pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def session() -> Any:
    """Return a small session on this machine."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - installed when the first test needs it

    found = SparkSession.builder.getOrCreate()
    found.sparkContext.setLogLevel("OFF")
    return found


@contextmanager
def spark_from(site: Path) -> Any:
    """Run Spark in this process."""
    before = {name: os.environ.get(name) for name in environment_of(site)}
    os.environ.update(environment_of(site))
    sys.path.append(str(site))
    found = session()
    try:
        yield found
    finally:
        context = type(found.sparkContext)
        found.stop()
        gateway = context._gateway
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(60)
        context._gateway = context._jvm = None
        sys.path.remove(str(site))
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class SparkStage:
    """A folder of files of events, a stream that reads them, and the table that it writes."""

    def __init__(self, spark: Any, folder: Path, kind: str, table: EntityTable | None = None) -> None:
        self.spark = spark
        self.folder = folder
        self.path = str(folder / "table")
        self.table = table or (ParquetTable(self.path) if kind == "parquet" else DriverDeltaTable(self.path))
        self.summaries: list[BatchSummary] = []
        self.after: Callable[[BatchSummary], None] = lambda _: None
        """Called when a batch was merged and its end is not written down yet."""
        (folder / "in").mkdir(parents=True, exist_ok=True)
        self._files = 0

    def send(self, bodies: Iterable[bytes]) -> None:
        """Write one file; each file becomes a batch."""
        self._files += 1
        path = self.folder / f"{self._files:04}.jsonl"
        path.write_bytes(b"".join(body + b"\n" for body in bodies))
        os.utime(path, (self._files, self._files))
        path.rename(self.folder / "in" / path.name)

    def run(self, checkpoint: str = "checkpoint", **options: Any) -> None:
        """Process every file that is there and was not processed."""
        take = foreach_batch(self.table, str(self.folder / "dead"), on_batch=self._note, **options)
        reader = self.spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(self.folder / "in"))
        writer = reader.writeStream.foreachBatch(take).option("checkpointLocation", str(self.folder / checkpoint))
        writer.trigger(availableNow=True).start().awaitTermination()

    def _note(self, summary: BatchSummary) -> None:
        self.summaries.append(summary)
        self.after(summary)

    @property
    def outcomes(self) -> Counter[Outcome]:
        return sum((one.outcomes for one in self.summaries), Counter())

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """By entity id, the row that counts, as a program without Spark and without the kit reads it."""
        import pyarrow.dataset as ds  # noqa: PLC0415 - heavy, and only here

        if isinstance(self.table, DriverDeltaTable):
            from deltalake import DeltaTable  # noqa: PLC0415 - installed when the first test needs it

            found = DeltaTable(self.path).to_pyarrow_table().to_pylist()
            assert len(found) == len({row["entity_id"] for row in found})
        else:
            found = ds.dataset(self.path, format="parquet").to_table().to_pylist()
        newest: dict[str, dict[str, Any]] = {}
        for row in found:
            if row["writes"] > newest.get(row["entity_id"], {"writes": 0})["writes"]:
                newest[row["entity_id"]] = row
        return newest

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """By entity id, the value of each attribute, of those that are not gone."""
        return {
            id_: {name: one["value"] for name, one in json.loads(row["record"])["attributes"].items()}
            for id_, row in self.rows.items()
            if row["gone"] is None and row["record"] is not None
        }

    @property
    def letters(self) -> list[DeadLetter]:
        files = sorted((self.folder / "dead").glob("*.json"))
        return [from_line(line) for file in files for line in file.read_bytes().splitlines()]
