"""Keeps what is poison in a folder of JSON lines, each message once: in the form that `goldwire_consumer.from_line` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire_consumer.errors import TooManyDeadLettersError
from goldwire_consumer.spark.partitions import LETTER

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LETTER_SCHEMA = ", ".join(f"{name} {type_}" for name, type_ in LETTER.items())


def keep_letters(letters: DataFrame, folder: str, count_max: int | None) -> int:
    """Append those that are not in the folder yet.

    Args:
        letters: with the columns of `LETTER`, perhaps the same one twice.
        folder: created where there is none.
        count_max: more than this is refused; None: never.

    Returns:
        how many messages they are.

    Raises:
        TooManyDeadLettersError: there are more; none was kept.
    """
    [found] = letters.selectExpr("count(*) AS count", "first(text) AS text").collect()
    if count_max is not None and found["count"] > count_max:
        raise TooManyDeadLettersError(
            f"{found['count']} messages of this batch are poison, one of them because: {found['text']}. "
            "See what is wrong, then start again; nothing of the batch was kept"
        )
    spark = letters.sparkSession
    spark.createDataFrame([], LETTER_SCHEMA).write.mode("ignore").json(folder)
    if found["count"]:
        kept = spark.read.schema(LETTER_SCHEMA).json(folder).select("fingerprint")
        news = letters.dropDuplicates(["fingerprint"]).join(kept, "fingerprint", "left_anti").select(*LETTER)
        news.write.mode("append").option("ignoreNullFields", "false").json(folder)
    return int(found["count"])
