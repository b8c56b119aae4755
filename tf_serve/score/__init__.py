"""Many films: one scorer for every engine, results as Parquet, and runs that go on where they were stopped."""
