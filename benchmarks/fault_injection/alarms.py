"""Every check on conversions that nothing was done to: what it minds is a false alarm."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fault_injection.checks import AGREE, DECISIONS, PARITY, TRACE
from benchmarks.fault_injection.many import do_many
from benchmarks.fault_injection.serve import ask_servers
from convert.certificate.consistency import inconsistencies
from convert.from_run import ConvertConfig
from convert.layerwise.trace import TraceConfig, trace_bundle
from convert.pipeline import convert
from tbconv.contract.bundle import read_bundle
from tbconv.contract.certificate import ArtefactVerdict
from tbconv.contract.errors import TbconvError
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact
from tbconv.contract.reporting import Reporter, Silence

FILE = "model_float32.tflite"  # the one that a server is asked for


@dataclass(frozen=True, slots=True)
class Minded:
    """What the checks said of clean bundles, one sentence each."""

    alarms: tuple[str, ...] = ()  # a fault is claimed where there is none
    prices: tuple[str, ...] = ()  # a reduced file costs more decisions than it may: true, and no fault's doing

    def __add__(self, other: Minded) -> Minded:
        return Minded(self.alarms + other.alarms, self.prices + other.prices)


def find_alarms(bundles: Sequence[Path], reporter: Reporter, *, trace: bool) -> Minded:
    """Run the checks that follow a conversion on clean bundles.

    Args:
        bundles: each with certificate and golden answers.
        reporter: is told each bundle.
        trace: whether to walk them node by node as well.
    """
    images = bundles[0].parent / "golden.npy"
    np.save(images, read_golden(bundles[0] / GOLDEN).model_inputs)
    shown = ask_servers([(bundle, FILE) for bundle in bundles], images)
    minded = Minded()
    for bundle, one in zip(bundles, shown, strict=True):
        name = bundle.parent.name
        found = [f"{check}: {why}" for check, why in one.caught.items()]
        found += [f"{AGREE}: {path}: {why}" for path, why in inconsistencies(read_bundle(bundle)).items()]
        found += _traced(bundle) if trace else []
        failed, prices = _verdicts(bundle)
        found += failed
        reporter.say(f"{name}: {'; '.join(found) or 'no alarm'}")
        minded += Minded(tuple(f"{name}, {why}" for why in found), tuple(f"{name}, {why}" for why in prices))
    return minded


def _verdicts(bundle: Path) -> tuple[list[str], list[str]]:
    """Return the files that failed: first those that differ from PyTorch, then those that cost too many decisions."""
    opened = read_bundle(bundle)
    failed = {path: one for path, one in opened.certificate().artefacts.items() if not one.verdict.may_serve}
    price = [path for path, one in failed.items() if _is_price(opened.manifest.artefact(path), one)]
    words = {path: f"{DECISIONS if path in price else PARITY}: {path}: {one.reason}" for path, one in failed.items()}
    return [words[path] for path in failed if path not in price], [words[path] for path in price]


def _is_price(artefact: Artefact, verdict: ArtefactVerdict) -> bool:
    return artefact.precision != "float32" and verdict.figures.get("problem") is None


def _traced(bundle: Path) -> list[str]:
    try:
        found = trace_bundle(TraceConfig(bundle=bundle, out=None), Silence()).found
    except TbconvError as error:  # a clean network that the trace will not judge; what the others said is kept
        return [f"{TRACE}: {error.one_line}"]
    return [f"{TRACE}: {one.path}: {one.node or 'no node'}: {one.reason}" for one in found]


def resnet50_alarms(seed: int, folder: Path, reporter: Reporter) -> Minded:
    """Draw a ResNet50 of random weights, convert it as `tbconv convert` does, and run every check on it."""
    place = folder / f"ResNet50 seed {seed}"
    run, bundle = place / "run", place / "bundle"
    do_many("benchmarks.fault_injection.drawn:draw", [{"run": str(run), "seed": seed, "arch": "resnet50"}])
    try:
        convert(ConvertConfig(run=run, out=bundle), reporter)
        return find_alarms([bundle], reporter, trace=True)
    except TbconvError as error:
        return Minded((f"{place.name}, {error.one_line}",))
    finally:
        shutil.rmtree(place)
