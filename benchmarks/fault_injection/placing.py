"""Asks the trace where a spoilt file goes wrong, and whether that is where the fault was seeded."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS
from benchmarks.fault_injection.result import Result, Rung, traced
from benchmarks.fault_injection.setting import Setting
from convert.layerwise.compare import FirstBad, NodeReference
from convert.layerwise.trace import make_reference, trace_bundle
from convert.layerwise.walk import WalkConfig
from tbconv.contract.errors import TbconvError
from tbconv.contract.reporting import Silence

FILMS = 4  # what `verify --trace` feeds by default


def reference_of(setting: Setting) -> NodeReference:
    """Return what every node of the clean network gives for the last golden inputs, which are phantoms."""
    return make_reference(setting.bundle, setting.measurement.filmset.golden[-FILMS:], setting.aside / "reference")


def place_all(
    setting: Setting, results: Iterable[Result], files: dict[str, Path], reference: NodeReference
) -> list[Result]:
    """Trace the mutants of all graph levels, and those smaller sizes that are live and that no other check minded."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            [pool.submit(_place, setting, one, index, files, reference) for index in range(len(one.rungs))]
            for one in results
        ]
        return [replace(one, rungs=tuple(job.result() for job in row)) for one, row in zip(results, jobs, strict=True)]


def _place(setting: Setting, result: Result, index: int, files: dict[str, Path], reference: NodeReference) -> Rung:
    fault, rung = result.fault, result.rungs[index]
    key, _ = fault.rungs[index]
    wanted = index == 0 or (rung.live and not rung.caught)
    if fault.level not in GRAPH_LEVELS or key not in files or not wanted:
        return rung
    found = trace_file(setting, fault.path, files[key], reference)
    if isinstance(found, str) or (found is not None and not found.node):
        return rung  # it cannot be run at all, so no node of it is worse than another
    right = None if found is None or not fault.nodes else bool({found.node, *found.one_of} & set(fault.nodes))
    if found is None:
        return replace(rung, right=False if fault.nodes and rung.live else None)
    return traced(rung, found.node, right=right, reason=found.reason)


def trace_file(setting: Setting, path: str, file: Path, reference: NodeReference) -> FirstBad | str | None:
    """Return the first bad node of a file that stands in for one of the bundle's; a sentence where it cannot be run."""
    place = setting.aside / f"traced {file.parent.name} {file.stem}"
    setting.bundle_with(place, {path: file})
    try:
        config = WalkConfig(bundle=place, out=None, artefacts=(path,))
        found = trace_bundle(config, Silence(), reference=reference).found
    except TbconvError as error:
        return error.one_line
    finally:
        shutil.rmtree(place)
    return found[0] if found else None
