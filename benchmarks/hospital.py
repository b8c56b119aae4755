"""What an answer in the hospital's formats costs beside the answer itself: CPU seconds and bytes a film.

    python -m benchmarks.hospital BUNDLE FILMS

CPU seconds are of this process with one thread a library, so that other work on the machine moves them little. The
first film, which imports highdicom and fhir.resources, is shown apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from benchmarks.results import RESULTS, append_rows, circumstances  # noqa: E402
from tbconv.contract.xray.folder import walk_films  # noqa: E402
from tf_serve.score.hospital import FORMATS, Format, HospitalWriter  # noqa: E402
from tf_serve.score.scorer import Scorer  # noqa: E402

WAYS: tuple[tuple[Format, ...], ...] = (*((one,) for one in FORMATS), FORMATS)


def main(words: Sequence[str] | None = None) -> int:
    """Print a row a choice of formats and append it to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("films", type=Path, help="a folder")
    parser.add_argument("--n", type=int, default=100, help="films, evenly spread over the folder")
    given = parser.parse_args(words)
    scorer, before = Scorer(given.bundle), circumstances()
    paths = walk_films(given.films).films
    films = [path.read_bytes() for path in paths[:: max(1, len(paths) // given.n)]][: given.n]
    answers = [(data, scorer.score(data)) for data in films]
    rows, made = [], datetime.now()
    with tempfile.TemporaryDirectory(prefix="tbconv-hospital-") as folder:
        warm = HospitalWriter(folder=Path(folder) / "warm", made=made)
        begun = time.process_time()
        warm.write(*answers[0], scorer.manifest)
        print(f"the first film, with imports: {time.process_time() - begun:.2f} CPU s")
        for formats in WAYS:
            writer = HospitalWriter(folder=Path(folder) / "-".join(formats), made=made, formats=formats)
            seconds, sizes = [], []
            for data, result in answers:
                begun = time.process_time()
                written = writer.write(data, result, scorer.manifest)
                seconds.append(time.process_time() - begun)
                sizes.append(sum(path.stat().st_size for path in written))
            row = {"formats": " ".join(formats), "films": len(films), "cpu_s_median": statistics.median(seconds)}
            row |= {"cpu_s_max": max(seconds), "bytes_mean": round(statistics.mean(sizes))}
            rows.append(before | {key: round(one, 4) if isinstance(one, float) else one for key, one in row.items()})
            print("  ".join(f"{key} {one}" for key, one in list(rows[-1].items())[-5:]), flush=True)
    append_rows(RESULTS / "hospital.csv", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
