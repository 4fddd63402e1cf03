"""Keeps the table in Delta, merged by the package `deltalake` in the driver: for a Spark that has no Delta of its own.

Rows of the entities in a batch pass through the driver, so it suits one machine. On a cluster take `SparkDeltaTable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from goldwire_consumer.extra import extra
from goldwire_consumer.spark.arrow import arrow_schema
from goldwire_consumer.spark.rows import COLUMNS
from goldwire_consumer.spark.spark_delta import check_written
from goldwire_consumer.spark.table import SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class DriverDeltaTable:
    """A Delta table that the driver merges with `deltalake`."""

    def __init__(self, path: str, storage_options: Mapping[str, str] | None = None) -> None:
        """Say where it is.

        Args:
            path: of its folder, as `deltalake` writes it; created where there is none.
            storage_options: how `deltalake` reaches it; may hold secrets.
        """
        self.path = path
        self._options = dict(storage_options or {})

    def __repr__(self) -> str:
        return f"DriverDeltaTable({self.path!r})"

    def held(self, entity_ids: DataFrame) -> DataFrame:
        """Return the rows of these entities; see `EntityTable`."""
        wanted = {row["entity_id"] for row in entity_ids.collect()}
        rows = (tuple(row[name] for name in COLUMNS) for row in self._rows(wanted))
        return entity_ids.sparkSession.createDataFrame(list(rows), SCHEMA)

    def _rows(self, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
        """Read the table piece by piece, so that only the rows that are wanted stay in memory."""
        for batch in self._open().to_pyarrow_dataset().to_batches(columns=list(COLUMNS)):
            # row by row, because pyarrow can neither filter nor take texts as `deltalake` declares them (`string_view`)
            for index, entity_id in enumerate(batch.column("entity_id").to_pylist()):
                if entity_id in wanted:
                    yield from batch.slice(index, 1).to_pylist()

    def merge(self, rows: DataFrame, count: int) -> None:
        """Merge rows in one commit; see `EntityTable`.

        Raises:
            TryAgainError: another stream wrote one of these entities.
        """
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra: only what merges needs it

        news = pa.Table.from_pylist([row.asDict() for row in rows.collect()], schema=arrow_schema(COLUMNS))
        merging = self._open().merge(news, "held.entity_id = news.entity_id", source_alias="news", target_alias="held")
        merging = merging.when_matched_update_all("held.writes = news.writes - 1").when_not_matched_insert_all()
        result = merging.execute()
        check_written(self.path, count, result["num_target_rows_inserted"] + result["num_target_rows_updated"])

    def _open(self) -> Any:
        with extra("spark"):
            from deltalake import DeltaTable  # noqa: PLC0415 - an extra
        if not DeltaTable.is_deltatable(self.path, self._options):
            DeltaTable.create(self.path, arrow_schema(COLUMNS), mode="ignore", storage_options=self._options)
        return DeltaTable(self.path, storage_options=self._options)
