"""One script a claim: run as `python -m benchmarks.convert` and `python -m benchmarks.latency` from the repository."""
