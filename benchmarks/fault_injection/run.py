"""The whole of `make mutants`, one line a stage: a clean bundle, its faults level by level, the trace, clean seeds."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fault_injection.clean import FIRST_SEED, Findings, convert_clean, find_alarms, resnet50_alarms
from benchmarks.fault_injection.faults import film_faults, runtime_faults, serving_faults, verdict_faults
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS, Fault
from benchmarks.fault_injection.inject import faults_of
from benchmarks.fault_injection.levels import (
    locate_all,
    reference_of,
    try_files,
    try_films,
    try_runtimes,
    try_serving,
    try_verdicts,
)
from benchmarks.fault_injection.many import step_many
from benchmarks.fault_injection.score import Clean, Result, Score
from benchmarks.fault_injection.setting import Setting, make_setting
from convert.from_run import ConvertConfig
from convert.pipeline import convert
from convert.worker import workers
from tbconv.contract.errors import ConfigError, Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class MutantsConfig:
    """What `make mutants` does."""

    only: str | None = None  # a part of a fault's name, or a level
    seeds: int = 20  # clean conversions of the small network
    resnet50: int = 0  # clean conversions of ResNet50 by `tbconv convert`, some minutes each
    bundle: Path | None = None  # a finished one of `run`; None draws and converts one
    run: Path | None = None
    trace: bool = True

    def __post_init__(self) -> None:
        if (self.bundle is None) != (self.run is None):
            raise ConfigError("--bundle and --run", why="a bundle is measured on its run's films", fix="give both")


def run_mutants(config: MutantsConfig, reporter: Reporter) -> Score:
    """Inject every chosen fault, and let the checks judge.

    Raises:
        ConfigError: no fault has such a name.
        TbconvError: a clean step failed, so nothing can be judged.
    """
    wanted = faults(config.only)
    with tempfile.TemporaryDirectory(prefix="tbconv-mutants-") as name, workers():
        folder = Path(name)
        bundle, run = _clean_bundle(config, folder, reporter)
        setting = _setting(bundle, run, folder / "faults", reporter)
        results = inject_faults(setting, wanted, reporter, trace=config.trace)
        shutil.rmtree(setting.aside)
        clean = _clean(config, folder, reporter)
    return Score(tuple(results), asdict(setting.noise), clean)


def faults(only: str | None = None) -> list[Fault]:
    """Return the faults of all levels, or those whose name or level contains a word.

    Raises:
        ConfigError: there is none.
    """
    files = [fault for level in GRAPH_LEVELS for fault in faults_of(level).values()]
    known = [*files, *film_faults.FAULTS, *serving_faults.FAULTS, *runtime_faults.FAULTS, *verdict_faults.FAULTS]
    chosen = [one for one in known if only is None or only.lower() in (one.level.lower(), one.name.lower())]
    chosen = chosen or [one for one in known if only is not None and only.lower() in one.name.lower()]
    if not chosen:
        names = ", ".join(one.name for one in known)
        raise ConfigError(
            f"--only {only!r} names no fault", why=f"there are {names}", fix="name one of them, or a level"
        )
    return chosen


def inject_faults(setting: Setting, wanted: Sequence[Fault], reporter: Reporter, *, trace: bool) -> list[Result]:
    """Try faults level by level, in the order in which a conversion could go wrong."""
    results: list[Result] = []
    reference = reference_of(setting) if trace and any(one.level in GRAPH_LEVELS for one in wanted) else None
    for level in dict.fromkeys(one.level for one in wanted):
        start, chosen = time.monotonic(), [one for one in wanted if one.level == level]
        if level in GRAPH_LEVELS:
            found, files = try_files(setting, level, chosen)
            if reference is not None:
                found = locate_all(setting, found, files, reference)
            for place in {file.parent for file in files.values()}:
                shutil.rmtree(place)
        elif level == "verdict":
            found = try_verdicts(chosen)
        else:
            tries = {"preprocessing": try_films, "serving": try_serving, "runtime": try_runtimes}
            found = tries[level](setting, chosen)
        live = [one for one in found if one.counted]
        caught = sum(bool(one.mutant.caught) for one in live)
        reporter.say(f"{level}: {caught} of {len(live)} live mutants caught, {time.monotonic() - start:.0f} s")
        results += found
    return results


def _clean_bundle(config: MutantsConfig, folder: Path, reporter: Reporter) -> tuple[Path, Path]:
    if config.bundle is not None and config.run is not None:
        return config.bundle, config.run
    run, bundle = folder / "run", folder / "bundle"
    step_many("benchmarks.fault_injection.clean:draw", [{"run": str(run), "seed": 0}])
    convert(ConvertConfig(run=run, out=bundle), reporter)
    return bundle, run


def _setting(bundle: Path, run: Path, aside: Path, reporter: Reporter) -> Setting:
    aside.mkdir()
    return make_setting(bundle, run, aside, reporter)


def _clean(config: MutantsConfig, folder: Path, reporter: Reporter) -> Clean:
    say: Callable[[str], None] = reporter.say
    caught = Findings()
    if config.seeds:
        place = folder / "clean"
        place.mkdir()
        seeds = range(FIRST_SEED, FIRST_SEED + config.seeds)
        caught += find_alarms(convert_clean(seeds, place, say), reporter, trace=config.trace)
        shutil.rmtree(place)
    for seed in range(1, config.resnet50 + 1):
        caught += resnet50_alarms(seed, folder, reporter)
    return Clean(config.seeds, config.resnet50, caught.alarms, caught.costs)
