"""Keeps the table in Delta, merged by Spark itself, where Spark has Delta: Databricks, Fabric, Synapse, or its jar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire_consumer.errors import TryAgainError
from goldwire_consumer.spark.rows import COLUMNS
from goldwire_consumer.spark.table import SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NEWS = "goldwire_news"
_NAMES = ", ".join(COLUMNS)


def create_statement(table: str) -> str:
    """Return the SQL that creates the table, without deletion vectors: Synapse serverless cannot read those."""
    return f"CREATE TABLE IF NOT EXISTS {table} ({SCHEMA}) USING DELTA TBLPROPERTIES ('delta.enableDeletionVectors' = 'false')"


def merge_statement(table: str, news: str) -> str:
    """Return the SQL that merges rows: a row that another stream wrote since it was read is left as it is.

    Args:
        table: its name.
        news: the view with the new rows.
    """
    values = ", ".join(f"news.{name}" for name in COLUMNS)
    assignments = ", ".join(f"{name} = news.{name}" for name in COLUMNS)
    return (
        f"MERGE INTO {table} AS held USING {news} AS news ON held.entity_id = news.entity_id "  # noqa: S608 - names of the reader's own program
        f"WHEN MATCHED AND held.writes = news.writes - 1 THEN UPDATE SET {assignments} "
        f"WHEN NOT MATCHED THEN INSERT ({_NAMES}) VALUES ({values})"
    )


class SparkDeltaTable:
    """A Delta table that Spark's executors merge. Nothing passes through the driver."""

    def __init__(self, table: str) -> None:
        """Say which.

        Args:
            table: as SQL names it: `main.golden.customers`, or ``delta.`abfss://…` `` for a path. Created where there is none.
        """
        self.table = table

    def held(self, entity_ids: DataFrame) -> DataFrame:
        """Return the rows of these entities; see `EntityTable`."""
        spark = entity_ids.sparkSession
        spark.sql(create_statement(self.table))
        found = spark.sql(f"SELECT {_NAMES} FROM {self.table}")  # noqa: S608 - the name is of the reader's own program
        return found.join(entity_ids, "entity_id", "left_semi")

    def merge(self, rows: DataFrame, count: int) -> None:
        """Merge rows in one commit; see `EntityTable`.

        Raises:
            TryAgainError: another stream wrote one of these entities.
        """
        rows.createOrReplaceTempView(_NEWS)
        [result] = rows.sparkSession.sql(merge_statement(self.table, _NEWS)).collect()
        check_written(self.table, count, result["num_affected_rows"])


def check_written(table: str, wanted: int, written: int) -> None:
    """See that a merge wrote every row.

    Raises:
        TryAgainError: it did not, because the rows in the table are not those that were read.
    """
    if written != wanted:
        raise TryAgainError(
            f"{table}: {wanted - written} of {wanted} rows were changed by another stream meanwhile. "
            "One stream may write a table: end the other one, then start this one again"
        )
