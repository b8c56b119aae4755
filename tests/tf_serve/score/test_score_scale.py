"""Ledger and shards at the size of a programme: what they cost, and that nothing grows with the films."""

import tracemalloc

import pytest

from tbconv.contract.errors import DataError
from tbconv.contract.files import sha256_bytes, write_atomic
from tf_serve.score.engines.ledger import LEDGER, Finished, Ledger
from tf_serve.score.rows import SHARDS, Row, as_parquet, read, shard_name, without_answer

LIMITS = ("Research tool, not a medical device.", "Other hospitals may differ.", "The map shows regions.")
HEAD = {"tbconv.schema": "1", "tbconv.disclaimer": "Research tool.", "tbconv.model": "{}"}


def answered(number):
    digest = sha256_bytes(number.to_bytes(8, "big"))
    margin = (number * 2654435761 % 4096) / 512 - 4
    decision = "refer" if number % 7 == 0 else "not_flagged"
    figures = (decision, margin, margin, margin, LIMITS, None, "left", "upper", 120.5, 33.25, "a" * 64, "b" * 64, None)
    return Row(f"film-{number:08d}.png", digest, "answered", *figures)


def test_the_same_rows_are_the_same_bytes_and_come_back_as_they_were(tmp_path):
    rows = [answered(number) for number in range(100)]
    rows.append(without_answer("x", "quarantined", "cut", digest=None, model_sha256="a" * 64, certificate_sha256=None))
    assert as_parquet(rows, HEAD) == as_parquet(rows, HEAD)
    (tmp_path / SHARDS).mkdir()
    (tmp_path / SHARDS / shard_name(0)).write_bytes(as_parquet(rows, HEAD))
    back = [Row(**one)._replace(limits=tuple(one["limits"])) for batch in read(tmp_path) for one in batch.to_pylist()]
    assert back == rows


def test_results_of_another_schema_are_refused(tmp_path):
    (tmp_path / SHARDS).mkdir()
    (tmp_path / SHARDS / shard_name(0)).write_bytes(as_parquet([answered(0)], HEAD | {"tbconv.schema": "99"}))
    with pytest.raises(DataError, match="cannot be read") as caught:
        list(read(tmp_path))
    assert "its schema is 99" in caught.value.why


def test_a_ledger_remembers_what_was_added_and_refuses_other_lines(tmp_path):
    with Ledger(tmp_path) as ledger:
        for number in (0, 2):
            ledger.add(Finished(number, 10, 100, "a" * 64, {"read": 0.5}))
    with Ledger(tmp_path) as ledger:
        assert sorted(ledger.finished) == [0, 2]
        assert ledger.finished[2].seconds == {"read": 0.5}
    (tmp_path / LEDGER).write_text('{"number": 1}\n')
    with pytest.raises(DataError, match="cannot be understood"):
        Ledger(tmp_path)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_ledger_that_was_cut_anywhere_keeps_its_whole_lines(tmp_path, cut):
    with Ledger(tmp_path) as ledger:
        for number in range(3):
            ledger.add(Finished(number, 10, 100, "a" * 64))
    data = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(data[:-cut])
    with Ledger(tmp_path) as ledger:
        assert sorted(ledger.finished) == [0, 1]
        ledger.add(Finished(2, 10, 100, "a" * 64))
    assert (tmp_path / LEDGER).read_bytes() == data


@pytest.mark.slow
def test_shards_and_ledger_of_a_million_rows_keep_all_of_them_and_little_memory_of_each_shard(tmp_path):
    """Written and recorded as a run does; `python -m benchmarks.score_scale` says what that takes."""
    (tmp_path / SHARDS).mkdir()
    peaks = []
    with Ledger(tmp_path) as ledger:
        tracemalloc.start()
        for number in range(1000):
            data = as_parquet([answered(number * 1000 + one) for one in range(1000)], HEAD)
            write_atomic(tmp_path / SHARDS / shard_name(number), data, mode=0o600)
            ledger.add(Finished(number, 1000, len(data), sha256_bytes(data), {"read": 1.0, "decode": 2.0}))
            if number in (200, 999):
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 799 * 1024  # bytes of as many shards of 1,000 rows: its line of the ledger, no row
    films = set()
    for batch in read(tmp_path, ["film"]):
        films.update(batch.column(0).to_pylist())
    assert len(films) == 1_000_000
    with Ledger(tmp_path) as ledger:
        assert len(ledger.finished) == 1000
        assert ledger.check({number: tmp_path / SHARDS / shard_name(number) for number in range(1000)}) == []
