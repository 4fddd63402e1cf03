"""`goldwire_consumer.spark` on a stream of files, with PySpark and `deltalake` from PyPI: any order, crashes, poison, gaps.

Spark's own MERGE into Delta and its source for Kafka need jars that no package of PyPI brings: only texts are tried here.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import Outcome, TooManyDeadLettersError, TryAgainError
from goldwire_consumer.spark import DriverDeltaTable, ParquetTable, foreach_batch
from goldwire_consumer.spark.rows import COLUMNS
from goldwire_consumer.spark.spark_delta import create_statement, merge_statement
from goldwire_consumer.spark.table import SCHEMA
from support.histories import customers
from support.spark_stage import PATIENCE_SECONDS, REQUIREMENTS, SparkStage, environment_of, spark_from

pytestmark = [pytest.mark.optional, pytest.mark.timeout(1_200), pytest.mark.xdist_group("spark")]

ROOT = Path(__file__).parents[3]
KERNEL = ROOT / "tests" / "support" / "notebook_kernel.py"
EXAMPLE = ROOT / "examples" / "databricks"
kinds = pytest.mark.parametrize("kind", ["parquet", "delta"])


@pytest.fixture(scope="module")
def site(installer: Any) -> Path:
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java: install a JRE 17 or newer")
    found: Path = installer.from_pypi(*REQUIREMENTS, patience_seconds=PATIENCE_SECONDS)
    return found


@pytest.fixture(scope="module")
def spark(site: Path) -> Iterator[Any]:
    with spark_from(site) as found:
        yield found


@pytest.fixture
def stage(spark: Any, tmp_path: Path) -> Callable[..., SparkStage]:
    def build(kind: str, table: Any = None) -> SparkStage:
        return SparkStage(spark, tmp_path, kind, table)

    return build


def bodies(events: list[SealedEvent], chance: random.Random) -> list[bytes]:
    """The events in any order, some of them twice."""
    mixed = [event.body for event in events + chance.sample(events, len(events) // 4)]
    chance.shuffle(mixed)
    return mixed


def cut(lines: list[bytes], count: int) -> list[list[bytes]]:
    return [lines[number::count] for number in range(count)]


@kinds
def test_any_order_in_any_batches_leads_to_the_golden_records_and_poison_is_set_aside(
    stage: Callable[..., SparkStage], kind: str
) -> None:
    history = customers(31, 12, 240)
    altered = history.events[5].body.replace(b"goldwire:entity", b"goldwire:entitY")
    found = stage(kind)
    lines = [*bodies(history.events, random.Random(31)), altered, b"no event", b"no event"]
    for part in cut(lines, 4):
        found.send(part)
    found.run()
    assert found.values == history.table
    assert {id_: row["version"] for id_, row in found.rows.items()} == {one.entity_id: one.version for one in history.events}
    assert not any(row["waiting"] for row in found.rows.values())
    assert sorted((one.kind, one.body) for one in found.letters) == [("altered", altered), ("unreadable", b"no event")]
    assert found.outcomes.total() == len(lines)
    assert found.outcomes[Outcome.DEAD] == 3
    assert len(found.summaries) == 4


@kinds
def test_a_crash_after_the_table_and_before_the_checkpoint_does_no_harm(stage: Callable[..., SparkStage], kind: str) -> None:
    history = customers(32, 5, 60)
    found = stage(kind)
    lines = [*bodies(history.events, random.Random(32)), b"no event"]
    found.send(lines)

    def crash(_: object) -> None:
        raise RuntimeError("the driver is gone")

    found.after = crash
    with pytest.raises(Exception, match="the driver is gone"):
        found.run()
    rows, letters = found.rows, found.letters
    assert found.values == history.table
    found.after = lambda _: None
    found.run()
    found.run(checkpoint="another-checkpoint")
    assert [one.batch_id for one in found.summaries] == [0, 0, 0]
    assert [one.rows for one in found.summaries[1:]] == [0, 0]
    again = Counter({Outcome.IGNORED: len(lines) - 1, Outcome.DEAD: 1})
    assert [one.outcomes for one in found.summaries[1:]] == [again, again]
    assert found.rows == rows
    assert found.letters == letters


class TornTable(ParquetTable):
    """Appends the rows of some entities, and then the driver is gone."""

    torn = True

    def merge(self, rows: Any, count: int) -> None:
        super().merge(rows.where("crc32(CAST(entity_id AS BINARY)) % 2 = 0") if self.torn else rows, count)
        if self.torn:
            raise RuntimeError("the driver is gone")


def test_a_crash_in_the_middle_of_an_append_leaves_rows_that_the_next_run_completes(
    stage: Callable[..., SparkStage], tmp_path: Path
) -> None:
    history = customers(33, 8, 100)
    table = TornTable(str(tmp_path / "table"))
    found = stage("parquet", table)
    found.send(bodies(history.events, random.Random(33)))
    with pytest.raises(Exception, match="the driver is gone"):
        found.run()
    assert 0 < len(found.rows) < 8
    table.torn = False
    found.run()
    assert found.values == history.table
    assert found.summaries[0].rows < 8
    assert {row["writes"] for row in found.rows.values()} == {1}


@kinds
def test_a_process_that_is_killed_is_followed_by_another(
    stage: Callable[..., SparkStage], site: Path, tmp_path: Path, kind: str
) -> None:
    history = customers(34, 6, 90)
    found = stage(kind)
    for part in cut(bodies(history.events, random.Random(34)), 3):
        found.send(part)
    program = (
        "import os, signal, sys; from pathlib import Path; from support.spark_stage import SparkStage, session\n"
        "stage = SparkStage(session(), Path(sys.argv[1]), sys.argv[2])\n"
        "stage.after = lambda summary: summary.batch_id == 1 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "stage.run()\n"
    )
    environment = {**os.environ, **environment_of(site)}
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), kind], env=environment, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert found.values != {}
    found.run()
    assert [one.batch_id for one in found.summaries] == [1, 2]
    assert found.summaries[0].outcomes.keys() == {Outcome.IGNORED}
    assert found.values == history.table


@kinds
def test_what_follows_a_lost_event_waits_for_it_in_the_table(
    stage: Callable[..., SparkStage], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    one = sealed("e1", 1, {"city": "Ulm", "credit": 1e21})
    two = sealed("e1", 2, {"city": "東京"}, base_version=1, previous_hash=one.hash)
    three = sealed("e1", 3, {"credit": -0.25}, base_version=2, previous_hash=two.hash)
    other = sealed("e2", 1, {"city": "Kiel"})
    found = stage(kind)
    found.send([three.body, other.body, one.body])
    with caplog.at_level(logging.WARNING, "goldwire_consumer"):
        found.run()
    assert "entity e1: an event after version 1 is missing" in caplog.text
    assert found.values == {"e1": {"city": "Ulm", "credit": 1e21}, "e2": {"city": "Kiel"}}
    assert len(found.rows["e1"]["waiting"]) == 1
    found.send([two.body])
    found.run()
    assert found.summaries[-1].followed == 1
    assert found.values["e1"] == {"city": "東京", "credit": -0.25}
    assert found.rows["e1"]["waiting"] is None
    found.send([deleted("e1", 4, reason="erased", previous_hash=three.hash).body, one.body])
    found.run()
    assert found.values == {"e2": {"city": "Kiel"}}
    assert (found.rows["e1"]["gone"], found.rows["e1"]["version"], found.rows["e1"]["record"]) == ("erased", 4, None)


def test_too_much_poison_ends_the_stream_and_keeps_nothing(stage: Callable[..., SparkStage]) -> None:
    found = stage("parquet")
    found.send([b"a", b"b", b"c", sealed("e1", 1).body])
    with pytest.raises(Exception, match=TooManyDeadLettersError.__name__):
        found.run(dead_letters_max=2)
    assert found.letters == []
    found.run(dead_letters_max=3)
    assert len(found.letters) == 3
    assert len(found.rows) == 1


def test_without_persistence_the_result_is_the_same(stage: Callable[..., SparkStage]) -> None:
    history = customers(35, 4, 40)
    found = stage("parquet")
    found.send([*bodies(history.events, random.Random(35)), b"no event"])
    found.run(persist=False)
    assert found.values == history.table
    assert len(found.letters) == 1


def test_rows_as_kafka_brings_them_are_read_with_headers_and_source(spark: Any, tmp_path: Path) -> None:
    schema = "value binary, headers array<struct<key: string, value: binary>>, topic string, partition int, offset bigint"
    good, other = sealed("e1", 1, {"city": "Ulm"}), sealed("e2", 1)
    rows = [
        (good.body, [("messageId", b"Customer:e1:1")], "customers", 0, 7),
        (other.body, [("messageId", b"Customer:e2:9")], "customers", 0, 8),
        (None, None, "customers", 0, 9),
    ]
    table = ParquetTable(str(tmp_path / "table"))
    source = "concat(topic, '/', partition, '@', offset)"
    take = foreach_batch(table, str(tmp_path / "dead"), headers="headers", source=source)
    take(spark.createDataFrame(rows, schema), 7)
    assert [(row["entity_id"], row["version"]) for row in table.newest(spark).collect()] == [("e1", 1)]
    [letter] = spark.read.json(str(tmp_path / "dead")).collect()
    assert (letter["kind"], letter["source"]) == ("mislabelled", "customers/0@8")


def test_dead_letters_are_processed_again_when_the_cause_is_mended(spark: Any, tmp_path: Path) -> None:
    event = sealed("e2", 1, {"city": "Ulm"})
    table, folder = ParquetTable(str(tmp_path / "table")), str(tmp_path / "dead")
    rows = [(event.body, [("messageId", "Customer:e2:9")])]
    batch = spark.createDataFrame(rows, "value binary, headers array<struct<key: string, value: string>>")
    foreach_batch(table, folder, headers="headers")(batch, 0)
    assert table.newest(spark).count() == 0
    again = spark.read.schema("body binary").json(folder)
    foreach_batch(table, folder, body="body")(again, -1)
    assert [row["entity_id"] for row in table.newest(spark).collect()] == ["e2"]


class InterruptedTable(ParquetTable):
    """Ends while it works on a folder for the nth time."""

    left = 0

    def _folder(self, name: str) -> str:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("the driver is gone")
        return super()._folder(name)


@pytest.mark.parametrize("steps", [6, 7, 12], ids=["first-copy", "first-emptied", "second-copy"])
def test_a_compaction_that_is_cut_off_loses_no_row_and_the_next_leaves_one_of_each(
    stage: Callable[..., SparkStage], tmp_path: Path, steps: int
) -> None:
    history = customers(36, 5, 80)
    table = InterruptedTable(str(tmp_path / "table"))
    found = stage("parquet", table)
    for part in cut([event.body for event in history.events], 2):
        found.send(part)
    found.run()
    before = found.rows
    table.left = steps
    with pytest.raises(RuntimeError, match="the driver is gone"):
        table.compact(found.spark)
    assert found.rows == before
    table.compact(found.spark)
    assert found.rows == before
    written = found.spark.read.schema(SCHEMA).parquet(f"{table.path}/a", f"{table.path}/b")
    assert written.count() == len(before) == 5


def test_a_second_stream_on_one_delta_table_is_noticed_and_its_rows_stay(spark: Any, tmp_path: Path) -> None:
    table = DriverDeltaTable(str(tmp_path / "table"))
    row = dict.fromkeys(COLUMNS) | {"entity_id": "e1", "entity_type": "Customer", "version": 1, "writes": 1}

    def rows(**changes: Any) -> Any:
        return spark.createDataFrame([tuple((row | changes)[name] for name in COLUMNS)], SCHEMA)

    table.merge(rows(), 1)
    table.merge(rows(version=2, writes=2), 1)
    with pytest.raises(TryAgainError, match="1 of 1 rows were changed by another stream"):
        table.merge(rows(version=7, writes=2), 1)
    [held] = table.held(spark.createDataFrame([("e1",), ("e2",)], "entity_id string")).collect()
    assert (held["version"], held["writes"]) == (2, 2)


def test_spark_understands_the_statements_for_its_own_delta(spark: Any) -> None:
    parser = spark._jsparkSession.sessionState().sqlParser()
    name = "delta.`abfss://golden@lake.dfs.core.windows.net/customers`"
    assert "MergeIntoTable" in parser.parsePlan(merge_statement(name, "news")).toString()
    assert "CreateTable" in parser.parsePlan(create_statement("main.golden.customers")).toString()


def test_the_notebook_is_valid_and_runs_from_its_first_cell_to_its_last(
    stage: Callable[..., SparkStage], site: Path, tmp_path: Path
) -> None:
    import nbformat  # noqa: PLC0415 - installed when the first test needs it

    notebook = EXAMPLE / "golden_records.ipynb"
    nbformat.validate(nbformat.read(notebook, as_version=4))
    history = customers(37, 5, 60)
    found = stage("parquet")
    found.send([*bodies(history.events, random.Random(37)), b"no event"])
    environment = {**os.environ, **environment_of(site), "GOLDWIRE_SOURCE": "files", "GOLDWIRE_TABLE": ""}
    environment |= {"GOLDWIRE_ROOT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(KERNEL), str(notebook)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert found.values == history.table
    assert all(id_ in done.stdout for id_ in history.table)
    assert "unreadable" in done.stdout
    assert "<Outcome.DEAD: 'dead'>: 1" in done.stdout


def test_the_program_of_the_page_does_what_it_shows(site: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "subscribers.md").read_text(encoding="utf-8")
    [program] = [text for text in page.split("```python\n") if "import ParquetTable, foreach_batch" in text]
    history = customers(38, 3, 30)
    (tmp_path / "lake" / "in").mkdir(parents=True)
    (tmp_path / "lake" / "in" / "1.jsonl").write_bytes(b"\n".join(bodies(history.events, random.Random(38))))
    done = subprocess.run(
        [sys.executable, "-c", program.partition("```")[0]], cwd=tmp_path, env={**os.environ, **environment_of(site)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(id_[:17] in done.stdout for id_ in history.table)
