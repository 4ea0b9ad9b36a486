# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask Spark, in a Python that has pyspark; prints an object per question: its rows and seconds.

    python spark_queries.py DDL_FILE < QUESTIONS (JSON: a list of texts)

Knows nothing of kvmlog: what it runs is what `kvmlog query --ddl spark` printed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> int:
    """Make the table and the views, and answer."""
    questions = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as warehouse:
        spark = (
            SparkSession.builder.master("local[2]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.memory", "4g")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.warehouse.dir", warehouse)
            .getOrCreate()
        )
        for statement in Path(sys.argv[1]).read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                spark.sql(statement)
        for question in questions:
            began = time.monotonic()
            rows = [row.asDict() for row in spark.sql(question).collect()]
            took_s = time.monotonic() - began
            print(json.dumps({"rows": rows, "seconds": took_s}, default=str), flush=True)
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
