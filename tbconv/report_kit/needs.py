"""What TFLite files need, in words: the oldest runtime, and whether float16 arithmetic holds what they compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Needs = dict[str, Any]  # of a file: runtime, because, operators, float16 (convert.parity.needs.find_needs)

LARGEST_HALF = 65504  # of float16; what is larger is infinite there
LITERT_HAS = (2, 17)  # what LiteRT 1.0 runs of TensorFlow Lite (benchmarks/old_runtimes.py)
WIDESPREAD = (2, 14)  # the last release of tflite-runtime, which many devices have
NAMED = 3  # operations that a line names
BARRED = "not for float16 arithmetic (GPU delegates)"


def is_barred(needs: Needs) -> bool:
    """Return whether float16 arithmetic does not hold what the file computes."""
    return bool((needs.get("float16") or {}).get("beyond_count"))


def in_words(needs: Needs | None) -> str:
    """Return what one file needs, for a table; "" where nothing is known of it."""
    if not needs:
        return ""
    return runtime_words(needs["runtime"]) + (f"; {BARRED}" if is_barred(needs) else "")


def runtime_words(release: str) -> str:
    """Return which runtimes have what came with a release of TensorFlow Lite."""
    known = tuple(map(int, release.split("."))) <= LITERT_HAS
    return f"TensorFlow Lite {release} or newer" + (", or any LiteRT" if known else "")


def need_lines(needs: Mapping[str, Needs]) -> Iterator[str]:
    """Yield what files need, in lines for people: runtimes first, then float16 arithmetic."""
    by_release: dict[str, list[str]] = {}
    for path, one in needs.items():
        by_release.setdefault(one["runtime"], []).append(path)
    for release, paths in sorted(by_release.items(), key=lambda item: tuple(map(int, item[0].split(".")))):
        one = needs[paths[0]]
        because = ", ".join(f"{name} version {one['operators'][name]}" for name in one["because"])
        yield f"{', '.join(paths)}: {runtime_words(release)} ({because})"
    for path, one in needs.items():
        if low := one.get("understated"):
            wrong = "an older runtime may answer wrongly instead of refusing it"
            yield f"{path} understates the version of {', '.join(low)}: {wrong}"
        if unknown := one.get("unknown"):
            yield f"{path}: it is not known which release introduced {', '.join(unknown)}"
        for name, (dtype, scale, zero) in (one.get("tensors") or {}).items():
            yield f"{path}: {name} is {dtype} q, which stands for {scale:.6g} x (q - {zero})".replace("(q - -", "(q + ")
    told = set[str]()
    for one in needs.values():
        if (found := one.get("float16")) and (line := half_line(found)) not in told:
            told.add(line)
            yield line


def warnings_of(needs: Mapping[str, Needs]) -> Iterator[str]:
    """Yield what a reader must know of files at once: which need a new runtime, and what is not for GPUs."""
    newer = [one for one in needs.items() if tuple(map(int, one[1]["runtime"].split("."))) > WIDESPREAD]
    yield from (f"{path} needs {runtime_words(one['runtime'])}" for path, one in newer)
    barred = next((one["float16"] for one in needs.values() if is_barred(one)), None)
    if barred is not None:
        yield half_line(barred)


def half_line(found: dict[str, Any]) -> str:
    """Say whether float16 arithmetic holds what films reach in float32.

    Args:
        found: what `convert.quantization.half.reach` returned.
    """
    on = f"on {found['films']} films"
    if not found["beyond_count"]:
        factor = LARGEST_HALF / max(found["largest"], 1e-9)
        times = f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"
        said = (
            f"float16 arithmetic holds: the largest magnitude stays a factor of {times} below {LARGEST_HALF}, "
            f"{_named(found)} {on}"
        )
    else:
        named = "; ".join(_named(one) for one in found["beyond"][:NAMED])
        rest = found["beyond_count"] - min(NAMED, len(found["beyond"]))
        more = f"; and {rest} more" if rest else ""
        said = (
            f"{BARRED}, which ends at {LARGEST_HALF}: {named}{more} {on}. All these files, "
            "model_float16.tflite included, need a runtime that computes in float32"
        )
    if small := found["small"]:
        said += f". Below what float16 holds in full: {', '.join(one['tensor'] for one in small[:NAMED])}"
    return said


def _named(one: dict[str, Any]) -> str:
    kind = {"value": "reaches", "sum": "sums up to", "stored": "stores"}[one["kind"]]
    return f"{one['tensor']} {kind} {one['largest']:.4g}"
