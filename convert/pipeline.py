"""One conversion, of a run or of an ONNX file: every format made, run on films, judged; written whole or not at all.

A `Reference` says what is exported and what every file is held to: a run's PyTorch network with its decision rule
(convert.from_run), or a third-party ONNX file with its own decisions (convert.onnx_import.reference).
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from convert.formats.table import (
    EXPORT,
    FORMATS,
    INT8,
    INT8_FILE,
    IO,
    KERAS,
    ONNX,
    SAVED_MODEL,
    TENSORFLOW,
    TFLITE,
    TFLITE_FLOAT32,
    Format,
    Step,
    choose_formats,
)
from convert.parity.runtimes import MAKERS, places_of
from convert.worker import drop_waiting, run_step, workers
from tbconv.contract.errors import ConfigError, ConversionError, NoRuleError, ParityError, Reporter, SetupError
from tbconv.contract.files import remove_leftovers, require_room, temporary_folder, temporary_place, write_json

Route = Literal["own", "tensorflow", "onnx2tf", "litert-torch"]
ROUTES = ("own", "tensorflow", "onnx2tf", "litert-torch")
THEIRS = ("tensorflow", "onnx2tf")  # of the routes: they need TensorFlow
WITHOUT_RULES = ("onnx2tf", "litert-torch")  # of the routes: another converter's files are shipped, measured alone
OLD_ROUTES: dict[str, Route] = {"keras": "tensorflow"}  # what it was called while it was the only one of ours


def check_route(route: str) -> None:
    """Refuse a route that is none.

    Raises:
        ConfigError: naming those that there are.
    """
    if route not in ROUTES:
        known = ", ".join(ROUTES)
        raise ConfigError(f"--route {route} is unknown", why=f"there are {known}", fix="--route own")


def refuse_litert_torch(route: Route, of: str, why: str) -> None:
    """Refuse the route of what is no library's network.

    Args:
        route: that is asked for.
        of: what is converted.
        why: it cannot be taken.

    Raises:
        ConfigError: it is that one.
    """
    if route == "litert-torch":
        raise ConfigError(f"--route {route} for {of}", why=why, fix="--route onnx2tf, or omit --route")


def check_formats(names: Sequence[str], route: Route) -> None:
    """Refuse names of no format, and a route that writes nothing of what is asked for.

    Raises:
        ConfigError: saying what there is, or what the route writes.
    """
    asked = choose_formats(names)
    writes = {
        "own": FORMATS,
        "tensorflow": [one for one in FORMATS if one.step == TFLITE],
        "onnx2tf": [one for one in FORMATS if one.second_source],
        "litert-torch": [TFLITE_FLOAT32],
    }[route]
    if not any(one in writes for one in asked):
        what = f"--route {route} with --formats {','.join(names)}"
        why = f"that route writes {', '.join(one.name for one in writes)}, and none of them is asked for"
        raise ConfigError(what, why=why, fix="omit --route")


INT8_BUDGET = 120.0  # seconds of a search: most of what a ResNet50's finds on two cores (docs/log.md)


def check_budget(seconds: float) -> None:
    """Refuse a time for the search that is none.

    Raises:
        ConfigError: it is negative, infinite or no number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        why = "it is the time of a search in seconds; 0 makes one candidate"
        raise ConfigError(f"--int8-budget {seconds}", why=why, fix=f"--int8-budget {INT8_BUDGET:g}")


def check_io(io: str, formats: Sequence[str]) -> None:
    """Refuse what no int8 file gives, and integers where no int8 file is asked for.

    Raises:
        ConfigError: naming what there is.
    """
    if io not in IO:
        raise ConfigError(f"--io {io} is unknown", why=f"there are {', '.join(IO)}", fix="--io int8")
    if io != IO[0] and INT8_FILE not in choose_formats(formats):
        why, fix = "it is of the int8 file, which is not asked for", "omit --io, or add tflite-int8 to --formats"
        raise ConfigError(f"--io {io} with --formats {','.join(formats)}", why=why, fix=fix)


# Bytes that a conversion takes at most, times its weights, and beside them: a ResNet50 of 99 MB took 781 MB in the
# folder and 558 MB in the temporary one.
FOLDER_FACTOR, ASIDE_FACTOR, BESIDE = 8, 6, 30 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the measurement of a conversion's files found."""

    report: dict[str, Any]  # parity.json
    regressions: dict[str, str]  # float32 files that differ from the reference, and why


class Reference[Found: Outcome, Result](Protocol):
    """What a conversion starts from, and what every file of it is held to."""

    @property
    def out(self) -> Path:
        """Return the folder to write."""
        ...

    @property
    def title(self) -> str:
        """Return the first line of a conversion."""
        ...

    @property
    def computes(self) -> str:
        """Return who gives the reference's answers, as in "not what PyTorch computes"."""
        ...

    @property
    def route(self) -> Route:
        """Return who writes the float32 TFLite that is shipped (`tensorflow` more, `onnx2tf` its SavedModel, too)."""
        ...

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the names of the formats that are asked for; none for all."""
        ...

    @property
    def weights_bytes(self) -> int:
        """Return the size of the network's weights; all that a conversion writes goes by it."""
        ...

    @property
    def has_network(self) -> bool:
        """Return whether there is a model.onnx to convert; a run may hold its baseline alone."""
        ...

    @property
    def has_evidence(self) -> bool:
        """Return whether its outputs are a bundle's, so that the reference converter's SavedModel is run as well."""
        ...

    @property
    def may_lack(self) -> bool:
        """Return whether int8 and the reference converter may fail without ending the conversion."""
        ...

    @property
    def other_routes(self) -> tuple[Route, ...]:
        """Return the routes by which another converter's files are shipped where a rule of ours is missing."""
        ...

    @property
    def keep_float(self) -> tuple[str, ...]:
        """Return the nodes that the int8 file keeps in float32."""
        ...

    @property
    def int8_budget(self) -> float:
        """Return the seconds that the search for an int8 recipe may take; 0 makes one candidate."""
        ...

    @property
    def io(self) -> str:
        """Return what the int8 file takes and gives (convert.formats.table.IO)."""
        ...

    @property
    def deciding(self) -> dict[str, Any]:
        """Return what int8 candidates are ranked by: `decisions`, and `output` where it is not the logits."""
        ...

    def write_folder(self) -> AbstractContextManager[Path]:
        """Yield a temporary folder that takes the place of `out` if the block succeeds."""
        ...

    def prepare(self, context: ConversionContext) -> None:
        """Refuse what cannot be converted, before minutes are spent."""
        ...

    @property
    def calibration(self) -> Path:
        """Return the films that set the ranges of int8, as `torch_train.run_folder.read_films` reads them."""
        ...

    def export(self, context: ConversionContext) -> None:
        """Write model.onnx."""
        ...

    def make_beside(self, context: ConversionContext) -> None:
        """Make what needs little memory and nothing of model.onnx, while that is converted."""
        ...

    def label(self, context: ConversionContext) -> None:
        """Write into the finished files their metadata."""
        ...

    def measure(self, context: ConversionContext) -> Found:
        """Run every file on the reference's films, compare and judge."""
        ...

    def write(self, context: ConversionContext, found: Found, *, seconds: tuple[float, float]) -> Result:
        """Write the reports, seal the folder, and return what came out; `seconds` were spent converting, measuring."""
        ...


class Conversion[Found: Outcome, Result](Protocol):
    """A configuration that knows its reference."""

    def reference(self) -> Reference[Found, Result]:
        """Read what is converted."""
        ...


@dataclass(slots=True)
class ConversionContext:
    """The folders of one conversion, who made what in how long, and a line for each step that is done."""

    folder: Path  # what becomes the bundle or conversion
    aside: Path  # what is compared, or what others are made of, but not shipped
    reporter: Reporter
    formats: tuple[str, ...] = ()  # names of those that are shipped; none for all
    converters: dict[str, str] = field(default_factory=dict)  # by step
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    not_made: dict[str, str] = field(default_factory=dict)  # why, by path: of files that the conversion may lack
    by_another: list[str] = field(default_factory=list)  # paths of what is shipped that the route's converter made
    int8: dict[str, Any] | None = None  # how the int8 file was chosen (convert.quantization.search)
    stopping: threading.Event = field(default_factory=threading.Event)  # a step failed, or Ctrl-C came

    def step(self, name: str, function: str, **request: Any) -> dict[str, Any]:
        """Run one step (`module:function`), say that it is done, and return its response."""
        if self.stopping.is_set():  # who waits for it hears of the first failure
            raise ConversionError(f"the step {name} was not begun", why="another one failed", fix="convert again")
        start = time.monotonic()
        response = run_step(function, request, say=lambda line: self.reporter.say(f"    {line}"))
        self.seconds[name] = time.monotonic() - start
        self.converters[name] = response["converter"]
        self.reporter.say(f"  {name}: {self.seconds[name]:.0f} s, {self.converters[name]}")
        return response

    @property
    def asked(self) -> list[Format]:
        """Return the formats that are shipped, whether they could be made or not."""
        return choose_formats(self.formats)

    @property
    def made(self) -> list[Format]:
        """Return the formats that are shipped and could be made."""
        return [one for one in self.asked if one.path not in self.not_made]

    def place(self, path: str) -> Path:
        """Return where a file of the chain lies: in the folder, or aside where nobody asked for it."""
        if path in {one.path for one in self.asked}:
            return self.folder / path
        aside = self.aside / "not asked for"
        aside.mkdir(exist_ok=True)
        return aside / path

    def wanted(self, step: Step, route: Route) -> list[Format]:
        """Return the formats of a step that are made: those asked for, and a SavedModel of which TFLite is made."""
        asked = self.asked
        if route == "tensorflow" and any(one.step == TFLITE for one in asked):
            asked = [*asked, SAVED_MODEL]
        return [one for one in FORMATS if one.step == step and one in asked]


@workers()
def convert[Found: Outcome, Result](config: Conversion[Found, Result], reporter: Reporter) -> Result:
    """Convert, measure what came out, and put the folder in its place if every float32 file passed.

    Args:
        config: `convert.from_run.ConvertConfig` or `convert.onnx_import.reference.OnnxConfig`.
        reporter: gets a line a step.

    Raises:
        BundleError: the run is none, or `out` is something that tbconv did not make.
        ConversionError: a step failed, or what was written contradicts itself.
        SetupError: this machine decodes images differently from training.
        ParityError: a float32 file differs from the reference; the report is kept beside `out`.
    """
    reference = config.reference()
    reporter.say(reference.title)
    _make_room(reference, reporter)
    with reference.write_folder() as folder, temporary_folder("aside", beside=reference.out.parent) as aside:
        context = ConversionContext(folder, aside, reporter, formats=reference.formats)
        start = time.monotonic()
        reference.prepare(context)
        prepared = time.monotonic()
        make_files(context, reference)
        made = time.monotonic()
        reporter.say(f"all formats made in {made - prepared:.0f} s; now each of them runs on the films")
        found = reference.measure(context)
        _refuse_regressions(reference, found)
        measuring = time.monotonic() - made + prepared - start
        result = reference.write(context, found, seconds=(made - prepared, measuring))
    _report_place(reference.out).unlink(missing_ok=True)  # of an earlier conversion, whose files nobody has
    return result


def _make_room[Found: Outcome, Result](reference: Reference[Found, Result], reporter: Reporter) -> None:
    """Remove what killed conversions left, and refuse to begin where this one will run out of space."""
    beside, temporary = reference.out.absolute().parent, temporary_place()
    found = [*remove_leftovers(beside), *remove_leftovers(temporary)]
    left = [one for one in found if one.problem is None]
    if left:
        reporter.say(f"removed {sum(one.bytes for one in left) / 1e6:.0f} MB left by a killed command")
    needed = {beside: FOLDER_FACTOR * reference.weights_bytes + BESIDE}
    aside = ASIDE_FACTOR * reference.weights_bytes + BESIDE
    needed[temporary] = needed.get(temporary, 0) + aside
    require_room(needed, what="this conversion")


def _refuse_regressions[Found: Outcome, Result](reference: Reference[Found, Result], found: Found) -> None:
    """Keep the report beside the place that the refused conversion did not get, until one succeeds."""
    if not found.regressions:
        return
    place = _report_place(reference.out)
    write_json(place, found.report)
    raise ParityError(
        f"{', '.join(found.regressions)}: not what {reference.computes}",
        why="; ".join(f"{path}: {reason}" for path, reason in found.regressions.items()),
        fix=f"read {place}; nothing was written, and what was at {reference.out} is untouched",
    )


def _report_place(out: Path) -> Path:
    return out.with_name(f"{out.name}.failed-parity.json")


# --- steps ---
# Each framework in a process of its own (convert.worker).

LANES = 3  # of steps, side by side
LOAD = "convert.formats.onnx_to_keras:load"


def make_files[Found: Outcome, Result](
    context: ConversionContext, reference: Reference[Found, Result], *, compare: bool = True
) -> None:
    """Make every file, and other converters' float32 TFLite aside.

    Once model.onnx is there, three lanes: what needs no TensorFlow, TensorFlow and the converters that load it, and
    what the reference makes beside. A lane is a sequence, and PyTorch and TensorFlow have one process each: two
    TensorFlow converters at once were 3.3 GB (benchmarks/convert.py).

    Args:
        context: where to.
        reference: of what.
        compare: whether other converters make a file each to compare.

    Raises:
        ConversionError: a step failed; those that run beside it end first.
    """
    route = reference.route
    with workers(alone=("torch", "tensorflow")), ThreadPoolExecutor(LANES) as lanes, drop_waiting(lanes):
        jobs: list[Future[Any]] = []
        if reference.has_network:
            compared = compared_makers(context, route) if compare else []
            if route == "onnx2tf":
                compared.append(route)
            if not _lacks_tensorflow() and ("tensorflow" in compared or context.wanted(KERAS, route)):
                jobs.append(lanes.submit(run_step, LOAD, {}))  # while PyTorch exports
            reference.export(context)
            jobs += [lanes.submit(lane, context, reference, compared) for lane in (_own_lane, _their_lane)]
        jobs.append(lanes.submit(reference.make_beside, context))
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            context.stopping.set()
            raise
    if reference.has_network:
        if route in WITHOUT_RULES:
            _swap(context, reference)
        _require_fixed(context)
    reference.label(context)


def compared_makers(context: ConversionContext, route: Route) -> list[str]:
    """Return who makes a float32 TFLite to compare with ours: nobody where ours is not asked for.

    TensorFlow makes it of our SavedModel, and so only where that is made as well.
    """
    if TFLITE_FLOAT32 not in context.asked:
        return []
    return [
        maker
        for maker in ("own", *THEIRS)
        if maker != route and (maker != "tensorflow" or context.wanted(KERAS, route).count(SAVED_MODEL))
    ]


def _own_lane(context: ConversionContext, reference: Reference[Any, Any], compared: Sequence[str]) -> None:
    """Make the TFLite files that we write ourselves."""
    _make_steps(context, reference.route, own=True, others=reference.other_routes)
    if INT8_FILE in context.asked:
        _attempt(context, reference, INT8_FILE.path, _make_int8)
    if "own" in compared and reference.route == "tensorflow":  # of other routes ours is in the folder until the swap
        _attempt(context, reference, compared_name("own"), partial(_make_aside, step=TFLITE, maker="own"))


def _their_lane(context: ConversionContext, reference: Reference[Any, Any], compared: Sequence[str]) -> None:
    """Make TensorFlow's own formats, then the files of the converters that load it."""
    _make_steps(context, reference.route, own=False, others=reference.other_routes)
    makes: dict[str, Make] = {
        "tensorflow": partial(_make_aside, step=TENSORFLOW, maker="tensorflow"),
        "onnx2tf": _by_onnx2tf,
    }
    for maker in (one for one in compared if one in THEIRS):
        lacks = _lacks_tensorflow() or (context.not_made.get(SAVED_MODEL.path) if maker == "tensorflow" else None)
        if maker == reference.route and lacks:
            raise SetupError(f"--route {maker} cannot be taken", why=lacks, fix="install that, or omit --route")
        if maker == reference.route:
            makes[maker](context, reference)  # what is to be shipped may not be lacking
        elif lacks:
            context.not_made[compared_name(maker)] = lacks
        else:
            _attempt(context, reference, compared_name(maker), makes[maker])


def make_tflite_files(context: ConversionContext, reference: Reference[Any, Any]) -> None:
    """Make the four TFLite files alone, of the folder's model.onnx."""
    _make(context, TFLITE, TFLITE, context.wanted(TFLITE, "own"))
    _make_int8(context, reference)


def _require_fixed(context: ConversionContext) -> None:
    """Ship no TFLite file with a tensor of an open shape, whoever wrote it."""
    made = [one for one in context.made if one.kind == TFLITE_FLOAT32.kind and one != INT8_FILE]
    if made:
        files = [str(context.folder / one.path) for one in made]
        run_step("convert.formats.tflite.metadata:require_fixed", {"files": files})


def make_from_onnx(context: ConversionContext, route: Route = "own") -> None:
    """Make every format that is made of the folder's model.onnx but int8: TensorFlow's beside those that need none."""
    with ThreadPoolExecutor(2) as lanes, drop_waiting(lanes):
        jobs = [lanes.submit(_make_steps, context, route, own=own) for own in (True, False)]
        for job in as_completed(jobs):
            job.result()


def _make_steps(context: ConversionContext, route: Route, *, own: bool, others: Sequence[Route] = ()) -> None:
    """Make the formats of every step that we do ourselves, or of all others, a step after the other.

    Where no rule of ours knows a node, what we would make may be lacking if it is another converter's that is to be
    shipped (`others`, of the routes).
    """
    for step in dict.fromkeys(one.step for one in FORMATS if one.step not in (EXPORT, INT8)):
        by = TENSORFLOW if step == TFLITE and route == "tensorflow" else step
        rows = context.wanted(step, route)
        if own != (by == TFLITE) or not rows:
            continue
        if by in (KERAS, TENSORFLOW) and (lacks := _lacks_tensorflow()):
            context.not_made |= {one.path: lacks for one in rows}
            context.reporter.say(f"  {step.name}: not made; {lacks}")
        else:
            try:
                _make(context, step, by, rows)
            except NoRuleError as error:
                if route not in others:
                    raise _with_route(error, context, others) from error
                context.not_made |= {one.path: error.one_line for one in rows}
                context.reporter.say(f"  {', '.join(one.path for one in rows)}: not made; {error.one_line}")


def _with_route(error: NoRuleError, context: ConversionContext, others: Sequence[Route]) -> NoRuleError:
    """Return the error with other converters as fix, where those may ship their files."""
    if not others:
        return error
    writes = any(one.second_source for one in context.asked)
    options = " or ".join(f"--route {one}" for one in others)
    option = options if writes else f"{options}, with --formats {TFLITE_FLOAT32.name},"
    another = f"{option} ships a reference converter's float32 file, certified by measurement alone"
    return NoRuleError(error.what, why=error.why, fix=f"{another}; or {error.fix}")


def _lacks_tensorflow() -> str | None:
    """Return why TensorFlow's own formats are not made: the extra `tflite` comes without it."""
    if importlib.util.find_spec("tensorflow") is not None:
        return None
    return "TensorFlow is not installed; pip install 'tbconv[convert]' makes every format"


def _make(context: ConversionContext, step: Step, by: Step, rows: Sequence[Format], **more: Any) -> dict[str, Any]:
    """Run one step, or another one instead of it, for these of its formats at once; return its response."""
    places = {one.argument: str(context.place(one.path)) for one in rows}
    return context.step(step.name, by.function, **{by.reads: str(context.place(by.source))}, **places, **more)


Make = Callable[[ConversionContext, "Reference[Any, Any]"], None]


def _attempt(context: ConversionContext, reference: Reference[Any, Any], name: str, make: Make) -> None:
    """Make a file that some conversions may lack: its failure is then a line of the report."""
    try:
        make(context, reference)
    except ConversionError as error:
        if isinstance(error, NoRuleError) and reference.route not in reference.other_routes:
            raise _with_route(error, context, reference.other_routes) from error
        if not reference.may_lack:
            raise
        context.not_made[name] = _last_line(error)
        context.reporter.say(f"  {name}: not made; {context.not_made[name]}")


def _last_line(error: ConversionError) -> str:
    """Return an error as one line: what happened, and the last line of why that names an error."""
    lines = [line.strip() for line in error.why.splitlines() if line.strip()]
    line = next((one for one in reversed(lines) if "rror" in one), lines[-1] if lines else "")
    return f"{error.what} ({line[:200]})"


def _make_int8(context: ConversionContext, reference: Reference[Any, Any]) -> None:
    given = {
        "keep_float": list(reference.keep_float),
        "budget": reference.int8_budget,
        "io": reference.io,
        **reference.deciding,
    }
    if reference.int8_budget:
        context.reporter.say(f"  int8: searching its recipe for up to {reference.int8_budget:.0f} s")
    context.int8 = _make(context, INT8, INT8, [INT8_FILE], films=str(reference.calibration), **given)["search"]


# --- compared ---
# The float32 TFLite of every other maker, of the same ONNX: left aside, run on the same films, not shipped.


def compared_name(maker: str) -> str:
    """Return under which name a maker's files are missing where they could not be made."""
    return f"{MAKERS[maker]} TFLite"


def _make_aside(
    context: ConversionContext,
    reference: Reference[Any, Any],  # noqa: ARG001  (as every `Make`)
    *,
    step: Step,
    maker: str,
) -> None:
    source, out = str(context.place(step.source)), places_of(maker, context.aside)["tflite"]
    context.step(compared_name(maker), step.function, **{step.reads: source}, float32=out)


def _by_onnx2tf(context: ConversionContext, reference: Reference[Any, Any]) -> None:
    places = places_of("onnx2tf", context.aside)
    ships = reference.route == "onnx2tf"
    if SAVED_MODEL not in context.asked or not (reference.has_evidence or ships):
        del places["saved_model"]
    onnx = str(context.place(ONNX.path))
    lacks = context.step("onnx2tf", "convert.formats.onnx_to_onnx2tf:onnx_to_tf", onnx=onnx, **places).get("lacks")
    if lacks and ships and not reference.may_lack:
        fix = "omit --route onnx2tf; its TFLite file is then compared alone"
        raise ConversionError("onnx2tf writes no SavedModel of this network", why=lacks, fix=fix)
    if lacks:
        context.reporter.say(f"  onnx2tf writes no SavedModel of it, its TFLite alone is compared: {lacks}")


def _swap(context: ConversionContext, reference: Reference[Any, Any]) -> None:
    """Ship the route's files, and compare ours with them, where rules of ours made any.

    Of a third-party network onnx2tf's SavedModel is shipped only where ours could not be made: it takes one film a
    call. Its float16 file never is: it wants kernels of float16 arithmetic, which LiteRT has not (docs/adr/0019).
    """
    ours, theirs = places_of("own", context.aside), places_of(reference.route, context.aside)
    for row, own, other in zip((TFLITE_FLOAT32, SAVED_MODEL), ours.values(), theirs.values(), strict=True):
        keeps_ours = row is SAVED_MODEL and not reference.has_evidence and row.path not in context.not_made
        if row not in context.asked or not Path(other).exists():
            continue
        if keeps_ours:
            context.reporter.say(f"  {row.path}: ours is shipped, since onnx2tf's takes one film a call")
            continue
        if why := context.not_made.pop(row.path, None):
            if row is TFLITE_FLOAT32:
                context.not_made[compared_name("own")] = why
        else:
            shutil.move(context.folder / row.path, own)
        shutil.move(other, context.folder / row.path)
        context.by_another.append(row.path)
