"""Mirrors golden records into a table of Delta or Parquet with Spark: `foreach_batch` makes the function of a stream.

Importing it needs neither Spark nor `deltalake`; what is missing is named when it is used. Where Spark is installed already,
as on Databricks, take the kit without an extra; elsewhere `goldwire-consumer[spark]`.
"""

from goldwire_consumer.spark.batch import BatchSummary, foreach_batch
from goldwire_consumer.spark.driver_delta import DriverDeltaTable
from goldwire_consumer.spark.parquet import ParquetTable
from goldwire_consumer.spark.reduction import Reduction, reduce_entity
from goldwire_consumer.spark.rows import EntityRow
from goldwire_consumer.spark.spark_delta import SparkDeltaTable
from goldwire_consumer.spark.table import EntityTable

__all__ = [
    "BatchSummary",
    "DriverDeltaTable",
    "EntityRow",
    "EntityTable",
    "ParquetTable",
    "Reduction",
    "SparkDeltaTable",
    "foreach_batch",
    "reduce_entity",
]
