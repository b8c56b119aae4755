"""What every probe of `tbconv audit` says of sets whose shortcut is known: one source, two sources, a planted tag.

    python -m benchmarks.audit ../shared/data --work /tmp/audit

The levels in `torch_train.evaluation.audit.findings` (but PLACE_LEVEL) were chosen on the other sets of this table,
kermany left out; kermany with and without a tag is what they were then tried on.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.console import TerminalReporter
from tbconv.contract.errors import Silence, TbconvError
from tbconv.contract.xray import read_xray
from torch_train.data.index import read_index
from torch_train.data.phantom import write_phantoms
from torch_train.data.records import SYNTHETIC_MARK, FilmIndex
from torch_train.evaluation.audit.audit import Audit, audit
from torch_train.evaluation.audit.findings import AuditConfig

KERMANY = r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-"  # docs/data.md
TAG, TAG_GREY = "L", 235
TAG_SIDE = 1 / 14  # of the film's shorter side: 16 pixels of 224
PLANTED_FILMS = 1200  # of a larger set, evenly over it
PHANTOMS = 400


def plant_tag(index: FilmIndex, out: Path, *, tag: bool = True) -> Path:
    """Write a set again as PNG, both classes alike, with a letter in the upper left corner of the positives.

    Args:
        index: the films.
        out: a folder that is not there yet; it gets one folder a class.
        tag: False writes the same copy without the letter.
    """
    step = max(1, len(index.films) // PLANTED_FILMS)
    films = index.films[::step]
    for name in index.labels.names:
        (out / name).mkdir(parents=True)

    def write(number: int) -> None:
        film = films[number]
        pixels = read_xray(film.path)
        if tag and film.label == 1:
            pixels = with_tag(pixels)
        Image.fromarray(pixels).save(out / index.labels.names[film.label] / f"{film.path.stem}.png", compress_level=1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(len(films))))
    if index.synthetic:
        (out / SYNTHETIC_MARK).write_text("SYNTHETIC DATA, planted by benchmarks.audit\n", encoding="utf-8")
    return out


def with_tag(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a film uint8 [H, W] with a letter in its upper left corner."""
    side = min(pixels.shape)
    film = Image.fromarray(pixels)
    font = ImageFont.load_default(size=max(8, round(TAG_SIDE * side)))
    ImageDraw.Draw(film).text((0.045 * side, 0.036 * side), TAG, fill=TAG_GREY, font=font)
    return np.asarray(film)


def sets(shared: Path, work: Path) -> dict[str, Callable[[], AuditConfig]]:
    """Return the audits by name; those that need a copy make it when they are asked for."""

    def config(name: str, **options: Any) -> AuditConfig:
        return AuditConfig(out=work / "audits" / name, **options)

    def pair(name: str, negative: str, positive: str = "tbx11k/Tuberculosis") -> AuditConfig:
        return config(name, negative_films=(shared / negative,), positive_films=(shared / positive,))

    def copy(name: str, source: Callable[[], Path], *, tag: bool, patient: str | None = None) -> AuditConfig:
        place = work / name
        if not place.exists():
            plant_tag(read_index(source(), patient=patient), place, tag=tag)
        return config(name, data=(place,), patient=patient)

    def phantoms() -> Path:
        place = work / "phantoms"
        if not place.exists():
            write_phantoms(place, n=PHANTOMS, seed=0, reporter=Silence())
        return place

    return {
        "delhi": lambda: config("delhi", data=(shared / "delhi",)),
        "nih": lambda: config("nih", data=(shared / "nih",)),
        "tbx11k, active against obsolete": lambda: _by_kind(shared / "tbx11k", work, config),
        "phantoms": lambda: config("phantoms", data=(phantoms(),)),
        "rahman by itself": lambda: config("rahman", data=(shared / "rahman",)),
        "tbx11k against rahman": lambda: pair("tbx11k-rahman", "rahman/Normal"),
        "tbx11k against nih": lambda: pair("tbx11k-nih", "nih/Normal"),
        "tbx11k against openist": lambda: pair("tbx11k-openist", "openist/image"),
        "delhi, tag planted": lambda: copy("delhi-tag", lambda: shared / "delhi", tag=True),
        "phantoms, tag planted": lambda: copy("phantoms-tag", phantoms, tag=True),
        "kermany": lambda: config("kermany", data=(shared / "kermany",), patient=KERMANY),
        "kermany, written again": lambda: copy("kermany-copy", lambda: shared / "kermany", tag=False, patient=KERMANY),
        "kermany, tag planted": lambda: copy("kermany-tag", lambda: shared / "kermany", tag=True, patient=KERMANY),
    }


def _by_kind(root: Path, work: Path, config: Callable[..., AuditConfig]) -> AuditConfig:
    """Sort the films of tbx11k by what their boxes say, as links; films with both kinds are left out."""
    place = work / "tbx11k-kind"
    with (root / "boxes.csv").open(encoding="utf-8") as file:
        rows = sorted((row["file"], row["kind"]) for row in csv.DictReader(file))
    for name, group in itertools.groupby(rows, key=lambda row: row[0]):
        kinds = {kind for _, kind in group}
        link = place / "-".join(kinds) / Path(name).name
        if len(kinds) == 1 and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / name).resolve())
    return config("tbx11k-kind", data=(place,), positive="active")


def rows_of(name: str, found: Audit) -> list[dict[str, Any]]:
    """Return one row a finding."""
    here = circumstances()
    return [
        {
            **here,
            "set": name,
            "films": len(found.sample.labels),
            "verdict": str(found.verdict),
            "probe": finding.probe,
            "says": str(finding.verdict),
            "value": None if finding.estimate is None else finding.estimate.value,
            "low": None if finding.estimate is None else finding.estimate.low,
            "high": None if finding.estimate is None else finding.estimate.high,
        }
        for finding in found.findings
    ]


def table_row(name: str, found: Audit) -> str:
    """Return one line of the table in docs/audit.md."""
    by_probe = {finding.probe: finding for finding in found.findings}
    cells = []
    for probe in (
        "label tied to source",
        "greys",
        "border",
        "corner tags",
        "tag at one place",
        "file facts",
        "border greys",
    ):
        estimate = by_probe[probe].estimate
        bold = "**" if by_probe[probe].verdict == "SUSPECT" else ""
        cells.append("-" if estimate is None else f"{bold}{estimate.value:.2f} ({estimate.low:.2f}){bold}")
    return f"| {name} | {len(found.sample.labels)} | {' | '.join(cells)} | {found.verdict} |"


def main() -> None:
    """Audit every set, print the table and append to results/audit.csv."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="../shared/data")
    parser.add_argument("--work", type=Path, default=Path("/tmp/audit"), help="where copies and reports go")
    parser.add_argument("--only", nargs="*", help="names of sets")
    options = parser.parse_args()
    for name, configure in sets(options.shared, options.work).items():
        if options.only and name not in options.only:
            continue
        try:
            found = audit(configure(), TerminalReporter())
        except TbconvError as error:
            print(f"{name}: {error}")
            continue
        append_rows(RESULTS / "audit.csv", rows_of(name, found))
        print(table_row(name, found), flush=True)


if __name__ == "__main__":
    main()
