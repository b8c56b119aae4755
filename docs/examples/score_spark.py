"""Score films with Spark: spark-submit score_spark.py BUNDLE FILMS RESULTS."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.functions import from_json
from pyspark.sql.types import StringType

bundle, films, results = sys.argv[1:]
ROW = """film string, film_sha256 string, status string, decision string, score double, probability double,
margin double, limits array<string>, gate_reason string, evidence_side string, evidence_zone string,
grey_mean float, grey_deviation float, model_sha256 string, certificate_sha256 string, reason string"""


def open_scorer() -> Callable[[Any, Any], Any]:
    """Open the bundle, once in each Python worker; a row travels as JSON, since some of its cells are empty."""
    import tbconv

    scorer = tbconv.Scorer(bundle)
    return lambda ids, data: np.array(
        [json.dumps(scorer.row(*one)._asdict()) for one in zip(ids, data, strict=True)], object
    )


spark = SparkSession.builder.appName("tbconv").getOrCreate()
table = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(films)
answer = predict_batch_udf(open_scorer, return_type=StringType(), batch_size=64)
rows = table.select(from_json(answer("path", "content"), ROW).alias("row")).select("row.*")
rows.write.parquet(results)
