"""The same films in other depths, with padding, shutters and markers, without a window, tinted: which decisions change.

    python -m benchmarks.same_film BUNDLE FILMS --split RUN/split.json [--part test] [--films 80] [--only WORD]

Takes films of a folder of folders that are in a part of the run's split (so that the network has not seen them), as
many of each class as there are, writes each in every way below, and compares the decision with that of the film kept
in an 8-bit PNG; where a way covers a part of the film, its reference is the film with that part black. A film that the
gate refuses, or that becomes `indeterminate`, counts as changed. Rows go to results/same_film.csv.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.draw_dicom import as_file, draw_dicom
from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import FilmError
from tbconv.contract.files import sha256_file
from tbconv.contract.statistics import exact_interval
from tbconv.contract.xray import decode_xray, open_film
from tf_serve.fallback import choose_model
from tf_serve.gate.rules import refuse
from tf_serve.predict import find

Pixels = NDArray[np.uint8]
Way = Callable[[Pixels], bytes]
SEED = 0


def same(film: Pixels) -> Pixels:
    return film


def deep(film: Pixels, top: float, bottom: float = 0) -> NDArray[np.uint16]:
    """Return a film whose greys 0..255 lie at bottom..top."""
    values: NDArray[np.uint16] = np.rint(bottom + film.astype(np.float64) * ((top - bottom) / 255)).astype(np.uint16)
    return values


def png(values: NDArray[Any]) -> bytes:
    return as_file(Image.fromarray(values), "PNG")


def last(bits: int) -> int:
    return (1 << bits) - 1


def one(bits: int, **elements: Any) -> Way:
    """Return a way to write MONOCHROME1."""
    return lambda film: draw_dicom(
        np.asarray(last(bits) - deep(film, last(bits)), np.uint16),
        bits=bits,
        PhotometricInterpretation="MONOCHROME1",
        **elements,
    )


def two(bits: int, **elements: Any) -> Way:
    """Return a way to write MONOCHROME2 that fills its bits."""
    return lambda film: draw_dicom(deep(film, last(bits)), bits=bits, **elements)


# A marker covers a sixth of each side; a border a tenth of each.


def marked(film: Pixels, values: NDArray[Any], level: int) -> NDArray[Any]:
    height, width = film.shape
    with_marker = values.copy()
    with_marker[height // 20 : height // 20 + height // 6, width // 20 : width // 20 + width // 6] = level
    return with_marker


def border(film: Pixels) -> NDArray[np.bool_]:
    height, width = film.shape
    outside = np.ones(film.shape, bool)
    outside[height // 10 : height - height // 10, width // 10 : width - width // 10] = False
    return outside


def disc(film: Pixels) -> NDArray[np.bool_]:
    height, width = film.shape
    y, x = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.asarray((y - height // 2) ** 2 + (x - width // 2) ** 2 > (height // 2) ** 2)


def with_marker(film: Pixels) -> Pixels:
    return marked(film, film, 255)


def without_border(film: Pixels) -> Pixels:
    return np.where(border(film), 0, film).astype(np.uint8)


def without_corners(film: Pixels) -> Pixels:
    return np.where(disc(film), 0, film).astype(np.uint8)


def padded(value: int, *, offset: int = 0, **elements: Any) -> Way:
    """Return a way to write signed values with a border of padding."""

    def write(film: Pixels) -> bytes:
        values = np.where(border(film), value, deep(film, 4095).astype(np.int32) + offset).astype(np.int16)
        return draw_dicom(values, PixelPaddingValue=value, **elements)

    return write


def rectangular(film: Pixels) -> dict[str, Any]:
    height, width = film.shape
    return {
        "ShutterShape": "RECTANGULAR",
        "ShutterLeftVerticalEdge": width // 10 + 1,
        "ShutterRightVerticalEdge": width - width // 10,
        "ShutterUpperHorizontalEdge": height // 10 + 1,
        "ShutterLowerHorizontalEdge": height - height // 10,
    }


def polygonal(film: Pixels) -> dict[str, Any]:
    edges = rectangular(film)
    left, right, upper, lower = (edges[key] for key in list(edges)[1:])
    corners = [upper, left, upper, right, lower, right, lower, left]
    return {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": corners}


def circular(film: Pixels) -> dict[str, Any]:
    height, width = film.shape
    center = [height // 2, width // 2]
    return {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": center, "RadiusOfCircularShutter": height // 2}


def shuttered(shape: Callable[[Pixels], dict[str, Any]], level: int, *, inverted: bool) -> Way:
    """Return a way to write a film whose shuttered border has a level of its own below the shutter."""

    def write(film: Pixels) -> bytes:
        covered = disc(film) if shape is circular else border(film)
        shown = np.where(covered, level, deep(film, 4095)).astype(np.uint16)
        stored = np.asarray(4095 - shown, np.uint16) if inverted else shown
        photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
        return draw_dicom(stored, bits=12, PhotometricInterpretation=photometric, **shape(film))

    return write


def tinted(*gains: float, offsets: tuple[float, float, float] = (0, 0, 0), quality: int | None = None) -> Way:
    """Return a way to scan a film in colour: each channel is the film times a gain and an offset."""

    def write(film: Pixels) -> bytes:
        channels = [film * gain + offset for gain, offset in zip(gains, offsets, strict=True)]
        picture = Image.fromarray(np.clip(np.rint(np.stack(channels, axis=2)), 0, 255).astype(np.uint8))
        return as_file(picture, "JPEG", quality=quality) if quality else as_file(picture, "PNG")

    return write


# name: how it is written, and what it is compared with
WAYS: dict[str, tuple[Way, Callable[[Pixels], Pixels]]] = {
    **{f"PNG {bits} bits": (lambda film, bits=bits: png(deep(film, last(bits))), same) for bits in range(9, 17)},  # type: ignore[misc]
    **{f"DICOM {bits} bits": (two(bits), same) for bits in range(9, 17)},
    **{f"DICOM {bits} bits, MONOCHROME1": (one(bits), same) for bits in (9, 10, 11, 12, 13, 15, 16)},
    "DICOM 12 bits said to be 16": (lambda film: draw_dicom(deep(film, 4095)), same),
    "DICOM 12 bits said to be 16, MONOCHROME1": (
        lambda film: draw_dicom((4095 - deep(film, 4095)).astype(np.uint16), PhotometricInterpretation="MONOCHROME1"),
        same,
    ),
    "DICOM 12 bits, signed": (lambda film: draw_dicom(deep(film, 4095).astype(np.int16)), same),
    "DICOM 12 bits, around 0": (
        lambda film: draw_dicom((deep(film, 4095).astype(np.int32) - 2048).astype(np.int16), bits=12),
        same,
    ),
    "DICOM 12 bits, around 0, said to be 16": (
        lambda film: draw_dicom((deep(film, 4095).astype(np.int32) - 2048).astype(np.int16)),
        same,
    ),
    "cliff: 4096 in place of 4095": (lambda film: png(deep(film, 4096)), same),
    "cliff: all values one higher": (lambda film: png(deep(film, 4095) + np.uint16(1)), same),
    "cliff: 1 % more": (lambda film: png(deep(film, 4136)), same),
    "cliff: one pixel of 65535": (
        lambda film: png(np.where(np.arange(film.size).reshape(film.shape) == 7, 65535, deep(film, 4095)).astype("u2")),
        same,
    ),
    "marker 65535 on 12 bits, PNG": (lambda film: png(marked(film, deep(film, 4095), 65535)), with_marker),
    "marker 16383 on 10 bits, PNG": (lambda film: png(marked(film, deep(film, 1023), 16383)), with_marker),
    "marker 5000 on 12 bits, PNG": (lambda film: png(marked(film, deep(film, 4095), 5000)), with_marker),
    "marker 65535 on 12 bits said to be 16": (
        lambda film: draw_dicom(marked(film, deep(film, 4095), 65535)),
        with_marker,
    ),
    "padding -2000": (padded(-2000), without_border),
    "padding -32768": (padded(-32768), without_border),
    "padding -2000, values around 0": (padded(-4000, offset=-2048), without_border),
    "padding 65535, window": (
        lambda film: draw_dicom(
            np.where(border(film), 65535, deep(film, 4095)).astype(np.uint16),
            PixelPaddingValue=65535,
            WindowCenter=2048,
            WindowWidth=4096,
        ),
        without_border,
    ),
    "padding 0, MONOCHROME1": (
        lambda film: draw_dicom(
            np.where(border(film), 0, 4095 - np.minimum(deep(film, 4095), 4094)).astype(np.uint16),
            bits=12,
            PixelPaddingValue=0,
            PhotometricInterpretation="MONOCHROME1",
        ),
        without_border,
    ),
    "padding 4000 to 4095 (a range)": (
        lambda film: draw_dicom(
            np.where(border(film), 4050, deep(film, 3999)).astype(np.uint16),
            bits=12,
            PixelPaddingValue=4000,
            PixelPaddingRangeLimit=4095,
        ),
        without_border,
    ),
    "padding -2000 that the file does not name": (
        lambda film: draw_dicom(np.where(border(film), -4000, deep(film, 4095).astype(np.int32)).astype(np.int16)),
        without_border,
    ),
    "shutter, white below, MONOCHROME1": (shuttered(rectangular, 4095, inverted=True), without_border),
    "shutter, white below": (shuttered(rectangular, 4095, inverted=False), without_border),
    "polygonal shutter, white below": (shuttered(polygonal, 4095, inverted=False), without_border),
    "circular shutter, white below": (shuttered(circular, 4095, inverted=True), without_corners),
    "window off the values": (two(12, WindowCenter=30000, WindowWidth=100), same),
    "window missing: 200 to 3200 of 12 bits": (lambda film: draw_dicom(deep(film, 3200, 200), bits=12), same),
    "window missing: 0 to 3000 of 12 bits": (lambda film: draw_dicom(deep(film, 3000), bits=12), same),
    "window missing: 1000 to 3040 of 15 bits": (lambda film: draw_dicom(deep(film, 3040, 1000), bits=15), same),
    "window missing: 8000 to 30000 of 15 bits": (lambda film: draw_dicom(deep(film, 30000, 8000), bits=15), same),
    "blue base 0.60 0.80 1.00": (tinted(0.6, 0.8, 1.0), same),
    "blue base 0.75 0.85 1.00 JPEG": (tinted(0.75, 0.85, 1.0, quality=90), same),
    "blue base over 30 60 110": (tinted(0.7, 0.75, 0.57, offsets=(20, 45, 110)), same),
    "sepia 1.35 1.20 0.94": (tinted(1.351, 1.203, 0.937), same),
    "sepia 1.00 0.90 0.70": (tinted(1.0, 0.9, 0.7), same),
}


def choose_films(folder: Path, split: Path, part: str, films: int) -> list[Pixels]:
    """Return films of a part of the split, equally many of each folder, drawn with SEED."""
    wanted = set(json.loads(split.read_text())[part])
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        own = [path for path in sorted(place.iterdir()) if sha256_file(path) in wanted]
        drawn = np.random.default_rng(SEED).permutation(len(own))[: films // 2]
        found += [own[number] for number in drawn]
    return [decode_xray(path.read_bytes()) for path in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--part", default="test")
    parser.add_argument("--films", type=int, default=80)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-rows", action="store_true")
    said = parser.parse_args()
    bundle = read_bundle(said.bundle)
    active = choose_model(bundle)

    def decide(data: bytes) -> tuple[str, float]:
        try:
            film = open_film(data)
        except FilmError as error:
            return f"error: {error.what}", float("nan")
        if reason := refuse(film):
            return f"rejected: {reason}", float("nan")
        finding = find(film.pixels, active, bundle.manifest)
        return finding.decision, finding.margin

    films, rows = choose_films(said.folder, said.split, said.part, said.films), []
    for name, (write, reference) in WAYS.items():
        if said.only not in name:
            continue
        pairs = [(decide(png(reference(film))), decide(write(film))) for film in films]
        changed = [f"{before} -> {after}" for (before, _), (after, _) in pairs if before != after]
        moves = np.abs([after - before for (_, before), (_, after) in pairs])
        low, high = exact_interval(len(changed), len(pairs))
        kinds = "; ".join(f"{kind} {changed.count(kind)}" for kind in sorted(set(changed)))
        counted = f"{len(changed):2d} of {len(pairs)} ({low:.3f} to {high:.3f})"
        moved = f"margin moves {np.nanmean(moves):6.3f} (most {np.nanmax(moves):6.3f})"
        print(f"{name:45} {counted}, {moved}  {kinds}", flush=True)
        rows.append(
            {
                **circumstances(),
                "bundle": bundle.manifest.name,
                "way": name,
                "films": len(pairs),
                "changed": len(changed),
                "low_95": low,
                "high_95": high,
                "mean_move": float(np.nanmean(moves)),
                "kinds": kinds,
            }
        )
    if rows and not said.no_rows:
        append_rows(RESULTS / "same_film.csv", rows)


if __name__ == "__main__":
    main()
