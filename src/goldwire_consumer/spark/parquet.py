"""Keeps the table in a folder of Parquet files: each batch appends rows, and the newest row of an entity counts.

No file is ever changed, and no store of files must be able to replace a folder in one step: a batch that a crash cuts off has
appended some rows, each whole, and is run again. `compact` removes the rows that no longer count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire_consumer.spark.table import SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FOLDERS = ("a", "b")
_NEWEST = "row_number() OVER (PARTITION BY entity_id ORDER BY writes DESC) AS age"


class ParquetTable:
    """A table in a folder, for one stream at a time: Parquet has nothing that would turn a second one away.

    Readers take of each entity the row with the most `writes`; see `newest`.
    """

    def __init__(self, path: str) -> None:
        """Say where it is.

        Args:
            path: of the folder, as Spark writes it, e.g. `abfss://golden@lake.dfs.core.windows.net/customers`; created where
                there is none. Its rows stand in `a/` and `b/`.
        """
        self.path = path.rstrip("/")

    def held(self, entity_ids: DataFrame) -> DataFrame:
        """Return every row of these entities; see `EntityTable`."""
        return self._rows(entity_ids.sparkSession).join(entity_ids, "entity_id", "left_semi")

    def merge(self, rows: DataFrame, count: int) -> None:  # noqa: ARG002 - the port's; an append cannot miss a row
        """Append rows; see `EntityTable`. What another stream wrote meanwhile is not noticed."""
        rows.write.mode("append").parquet(self._folder("a"))

    def newest(self, spark: SparkSession) -> DataFrame:
        """Return the one row of each entity that counts, deleted entities included."""
        rows = self._rows(spark)
        return rows.selectExpr("*", _NEWEST).where("age = 1").drop("age")

    def compact(self, spark: SparkSession) -> None:
        """Leave one row of each entity, as after an erasure, or when most rows are old ones. No stream may run meanwhile.

        It writes all rows that count into one folder before it empties the other, and then the same the other way round: after
        a crash at any moment each of them is still there, perhaps twice. A query that runs meanwhile can fail.
        """
        for goal, other in (("b", "a"), ("a", "b")):
            self.newest(spark).write.mode("append").parquet(self._folder(goal))
            spark.createDataFrame([], SCHEMA).write.mode("overwrite").parquet(self._folder(other))

    def _rows(self, spark: SparkSession) -> DataFrame:
        for name in _FOLDERS:
            spark.createDataFrame([], SCHEMA).write.mode("ignore").parquet(self._folder(name))
        return spark.read.schema(SCHEMA).parquet(*(self._folder(name) for name in _FOLDERS))

    def _folder(self, name: str) -> str:
        return f"{self.path}/{name}"
