"""What the list, the shards and the ledger of N films take, without answering any: `python -m benchmarks.score_scale`.

Films are made up: names in a folder of empty files, and rows as a network would give them. Processor seconds are the
claim, and memory; the clock of a busy machine is shown beside them. The share is of what the films themselves take.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tbconv.contract.errors import Referral
from tbconv.contract.files import sha256_bytes, write_atomic
from tf_serve.score.engines.ledger import Finished, Ledger
from tf_serve.score.films import list_films
from tf_serve.score.rows import SHARDS, Row, as_parquet, read, shard_name
from tf_serve.score.run import SHARD_FILMS

FILM_S = 0.032  # of a core: int8 of a ResNet50, 61.8 films a second of two cores (docs/scale.md)
HEAD = {"tbconv.schema": "1", "tbconv.disclaimer": Referral().disclaimer, "tbconv.model": "{}"}


@contextmanager
def measured(what: str, films: int, folder: Path | None = None) -> Iterator[None]:
    """Print what a block takes, and what it leaves in a folder."""
    begun, cpu = time.monotonic(), time.process_time()
    yield
    seconds, wall = time.process_time() - cpu, time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    left = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) if folder else 0
    size = f", {left / films:.0f} bytes a film" if left else ""
    share = seconds / (films * FILM_S)
    print(f"{what}: {seconds:.1f} s of a core ({wall:.1f} s), {share:.2%} of the films' own, peak {peak:.0f} MB{size}")


def made_up(number: int) -> Row:
    """Return a row as a network would give it."""
    digest = hashlib.sha256(number.to_bytes(8, "big"))
    margin = int.from_bytes(digest.digest()[:4], "big") / 2**29 - 4
    figures = (round(50 + 10 * margin, 1), 0.5 + margin / 10, margin, Referral().limits, None, "left", "upper")
    rest = (100 + margin, 30 + margin, "a" * 64, "b" * 64, None)
    decision = "refer" if digest.digest()[5] < 20 else "not_flagged"
    return Row(f"ward/film-{number:09d}.png", digest.hexdigest(), "answered", decision, *figures, *rest)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--n", type=int, default=1_000_000)
    words.add_argument("--folder", type=Path, help="a folder of films to list; by default one of N empty files is made")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        films = given.folder or Path(place) / "films"
        if given.folder is None:
            films.mkdir()
            for number in range(given.n):
                os.close(os.open(films / f"film-{number * 7919 % given.n:09d}.png", os.O_CREAT | os.O_WRONLY))
        with measured("list", given.n), list_films(str(films)) as listed:
            print(f"{len(listed):,} films")
        results = Path(place) / "results"
        (results / SHARDS).mkdir(parents=True)
        shards, digests = range(0, given.n, SHARD_FILMS), {}
        with measured("rows and shards", given.n, results):
            for number, start in enumerate(shards):
                rows = [made_up(one) for one in range(start, min(start + SHARD_FILMS, given.n))]
                data = as_parquet(rows, HEAD)
                write_atomic(results / SHARDS / shard_name(number), data, mode=0o600)
                digests[number] = Finished(number, len(rows), len(data), sha256_bytes(data), {"read": 1.0})
        with measured("ledger", given.n), Ledger(results) as ledger:
            for one in digests.values():
                ledger.add(one)
        with measured("start again: ledger and digests of all shards", given.n), Ledger(results) as ledger:
            assert ledger.check({number: results / SHARDS / shard_name(number) for number in digests}) == []
        with measured("count", given.n):
            assert sum(batch.num_rows for batch in read(results, ["status", "decision"])) == given.n


if __name__ == "__main__":
    main()
