"""The port between a batch and the table that holds the entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from goldwire_consumer.spark.rows import COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SCHEMA = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
"""The table's columns as Spark's SQL declares them."""


class EntityTable(Protocol):
    """A table with one row for each entity; one stream writes it."""

    def held(self, entity_ids: DataFrame) -> DataFrame:
        """Return the rows of these entities, with the columns of `COLUMNS`; create the table where there is none.

        Args:
            entity_ids: one column, `entity_id`, each once.

        Returns:
            at least the newest row of each that the table holds; of several rows of one the one with the most `writes` counts.
        """

    def merge(self, rows: DataFrame, count: int) -> None:
        """Write rows, each of another entity, with a `writes` that is one higher than that of the row held.

        A crash can leave some of them written, each whole: the batch is then run again, and ignores what is there.

        Args:
            rows: with the columns of `COLUMNS`.
            count: how many; at least one.

        Raises:
            TryAgainError: another stream wrote one of these entities since `held`.
        """
