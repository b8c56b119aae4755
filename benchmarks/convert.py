"""Conversion by `tbconv` against onnx2tf and litert-torch, on one machine in one run: the one source of those ratios.

Two comparisons. **All formats**: `onnx2tf -tb tf_converter -oh5 -odrqt` on our ONNX, its batch fixed at 1, which is the
easier task for it: SavedModel, H5, .keras and TFLite float32, float16, dynamic. Ours three times: the same formats of
the same ONNX, which the bars are held against; everything that ships, from PyTorch (the ONNX, the int8 file on
calibration films, the baseline); and that with every other converter's TFLite to compare, as in every `tbconv convert`.
**TFLite alone**: our four files of the ONNX (int8 by its first recipe), against one float32 file by
`onnx2tf -tb flatbuffer_direct` of the same ONNX and by litert-torch of the PyTorch network, where
`TBCONV_LITERT_TORCH` names the Python of an environment that has it. None of them measures what the files compute.

    python -m benchmarks.convert RUN
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first, where `convert` would mean this script

from benchmarks.process_tree import Usage, measure  # noqa: E402
from benchmarks.results import RESULTS, append_rows, circumstances  # noqa: E402
from convert.runners.elsewhere.environments import LITERT_TORCH  # noqa: E402
from tbconv.contract.errors import ConversionError, TbconvError  # noqa: E402

SAME, PEER = "tbconv, the peer's formats", "onnx2tf"
OURS, WITH_OTHERS = "tbconv, everything", "tbconv, everything and the others' TFLite"
TFLITE = "tbconv, four TFLite files"
ALL_OURS = (OURS, SAME, WITH_OTHERS, TFLITE)  # the first leaves the ONNX that the others and the peers are given
DIRECT, LITERT = "onnx2tf, one TFLite file", "litert-torch, one TFLite file"
PEERS_OF = {OURS: (PEER,), SAME: (PEER,), WITH_OTHERS: (PEER,), TFLITE: (DIRECT, LITERT)}
DIRECT_WORDS = ("-tb", "flatbuffer_direct", "-n")
PEER_WORDS = ("-tb", "tf_converter", "-oh5", "-odrqt", "-n")  # -n only shortens its log
FASTER, MEMORY = 8.0, 0.4  # the bars: at least so many times faster, at most so much of the peer's peak
TFLITE_SECONDS, TFLITE_GB = 10.0, 1.0  # the bar of our four files: at most so long, and so much memory
MADE = (".onnx", ".h5", ".keras", ".tflite", "saved_model.pb")


@dataclass(frozen=True, slots=True)
class Weighed:
    """One run of one program."""

    program: str
    usage: Usage
    files: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether it ended by itself, without an error."""
        return self.usage.exit_code == 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours against the peer, medians of n runs each."""

    program: str
    peer: str
    faster: float  # peer's seconds / ours
    cpu: float  # peer's CPU seconds / ours
    memory: float  # our peak RSS / the peer's
    memory_pss: float  # the same with shared pages counted once
    n: int
    at_least: bool  # the peer was stopped: it would have taken longer, and perhaps more memory

    @property
    def met(self) -> bool:
        """Whether both bars hold."""
        return self.faster >= FASTER and self.memory <= MEMORY

    def sentence(self) -> str:
        """Return the ratio as a person reads it; TFLite alone has its bar in seconds and bytes, not against a peer."""
        bound, most = ("at least ", "at most ") if self.at_least else ("", "")
        bars = (
            ("", "", "")
            if self.program == TFLITE
            else (f"bar {FASTER:.0f}; ", f"bar {MEMORY}; ", f": {'met' if self.met else 'MISSED'}")
        )
        return (
            f"{self.program}, against {self.peer}: {bound}{self.faster:.1f} x faster ({bars[0]}{self.cpu:.1f} x in CPU"
            f" time), {most}{self.memory:.2f} x the peak memory ({bars[1]}{self.memory_pss:.2f} with shared pages"
            f" counted once), n = {self.n}{bars[2]}"
        )


def weigh_all(run: Path, work: Path, *, repeats: int, timeout_s: float, peer: bool) -> Iterator[Weighed]:
    """Run the programs one after the other and yield each as it ends.

    Args:
        run: what `tbconv train` left.
        work: an empty folder for everything that is made.
        repeats: of each program.
        timeout_s: seconds, after which the peer is stopped.
        peer: whether onnx2tf's own conversion runs at all.

    Raises:
        ConversionError: one of our own runs failed.
    """
    for repeat in range(repeats):
        onnx = work / f"0-{repeat}" / "model.onnx"
        for index, program in enumerate(ALL_OURS):
            yield _ours(run, work / f"{index}-{repeat}", program, onnx)
        if peer:
            yield _onnx2tf(DIRECT, DIRECT_WORDS, onnx, work / f"direct-{repeat}", timeout_s)
            if python := os.environ.get(LITERT_TORCH):
                yield _litert_torch(run, work / f"litert-torch-{repeat}", python)
            yield _onnx2tf(PEER, PEER_WORDS, onnx, work / f"{PEER}-{repeat}", timeout_s)


def _ours(run: Path, folder: Path, program: str, onnx: Path) -> Weighed:
    say(f"{program}: of {run}")
    words = {
        OURS: ["--no-compared"],
        SAME: ["--onnx", str(onnx)],
        WITH_OTHERS: [],
        TFLITE: ["--onnx", str(onnx), "--tflite"],
    }[program]
    command = [sys.executable, "-m", "benchmarks.make_formats", str(run), str(folder), *words]
    usage = measure(command, log=None, cwd=ROOT, say=say)
    if usage.exit_code != 0:
        raise ConversionError(
            f"{program} ended with exit code {usage.exit_code}", why="its lines stand above", fix="mend that first"
        )
    return _told(Weighed(program, usage, made_in(folder)))


def _litert_torch(run: Path, folder: Path, python: str) -> Weighed:
    folder.mkdir()
    say(f"{LITERT}: by {python}")
    command = [sys.executable, "-m", "benchmarks.make_formats", str(run), str(folder), "--litert-torch", python]
    return _told(Weighed(LITERT, measure(command, log=None, cwd=ROOT, say=say), made_in(folder)))


def _onnx2tf(program: str, words: Sequence[str], onnx: Path, folder: Path, timeout_s: float) -> Weighed:
    folder.mkdir()
    copy = folder / "model.onnx"  # onnx2tf rewrites what it is given
    fixed = ["-m", "onnxruntime.tools.make_dynamic_shape_fixed", "--dim_param", "batch", "--dim_value", "1"]
    subprocess.run([sys.executable, *fixed, str(onnx), str(copy)], check=True, capture_output=True)
    say(f"{program}: onnx2tf {' '.join(words)}; its log is {folder / 'log.txt'}")
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}  # it starts onnxsim
    environment |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(bin_folder / "onnx2tf"), "-i", str(copy), "-o", str(folder / "out"), *words]
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        usage = measure(command, log=log, timeout_s=timeout_s, cwd=folder, environment=environment, say=say)
    return _told(Weighed(program, usage, made_in(folder / "out")))


def made_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the model files in a folder, with their sizes in MB."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(MADE))
    return tuple(f"{path.name} {path.stat().st_size / 1e6:.1f}" for path in files)


def _told(one: Weighed) -> Weighed:
    use = one.usage
    end = {0: "done", None: "STOPPED at the time limit"}.get(use.exit_code, f"exit code {use.exit_code}")
    largest = sorted(use.at_peak.items(), key=lambda item: -item[1])[:4]
    parts = ", ".join(f"{name} {rss / 1e9:.2f}" for name, rss in largest)
    took = f"{use.seconds:.0f} s ({use.cpu_seconds:.0f} s of CPU)"
    say(f"{one.program}: {end}, {took}, {use.peak_rss / 1e9:.2f} GB at most ({parts})")
    say(f"  left {', '.join(one.files) or 'nothing'}")
    return one


def ratios(weighed: list[Weighed]) -> list[Ratio]:
    """Return each of our programs against its peers; none where a peer never ran or broke off with an error."""
    found = []
    for program, peer in ((one, other) for one in ALL_OURS for other in PEERS_OF[one]):
        ours = [one.usage for one in weighed if one.program == program]
        peers = [one.usage for one in weighed if one.program == peer and one.usage.exit_code in (0, None)]
        if ours and peers:
            faster, cpu, memory, pss = (
                statistics.median(getattr(use, name) for use in peers)
                / statistics.median(getattr(use, name) for use in ours)
                for name in ("seconds", "cpu_seconds", "peak_rss", "peak_pss")
            )
            stopped = any(use.exit_code is None for use in peers)
            found.append(Ratio(program, peer, faster, cpu, 1 / memory, 1 / pss, min(len(ours), len(peers)), stopped))
    return found


def tflite_bar(weighed: list[Weighed]) -> tuple[str, bool] | None:
    """Return how our four TFLite files did against their own bar, and whether it is met; None without any."""
    ours = [one.usage for one in weighed if one.program == TFLITE]
    if not ours:
        return None
    seconds = statistics.median(one.seconds for one in ours)
    gigabytes = statistics.median(one.peak_rss for one in ours) / 1e9
    met = seconds <= TFLITE_SECONDS and gigabytes <= TFLITE_GB
    said = f"{seconds:.1f} s (bar {TFLITE_SECONDS:.0f}), {gigabytes:.2f} GB (bar {TFLITE_GB:.0f}), n = {len(ours)}"
    return f"{TFLITE}: {said}: {'met' if met else 'MISSED'}", met


def csv_row(one: Weighed, *, run: Path, repeats: int, around: dict[str, Any]) -> dict[str, Any]:
    """Return one run as a row: seconds to 0.1, memory to 0.01 GB (1e9 bytes)."""
    return {
        **around,
        "run": run.name,
        "program": one.program,
        "of_repeats": repeats,
        "finished": one.finished,
        "seconds": round(one.usage.seconds, 1),
        "cpu_seconds": round(one.usage.cpu_seconds, 1),
        "peak_rss_gb": round(one.usage.peak_rss / 1e9, 2),
        "peak_pss_gb": round(one.usage.peak_pss / 1e9, 2),
        "files_mb": "; ".join(one.files),
    }


def read_words(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="what `tbconv train` left")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each program (default 1)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for the peer (default 3600)")
    parser.add_argument("--no-peer", action="store_true", help="only our own side: no ratio")
    parser.add_argument("--csv", type=Path, default=RESULTS / "convert.csv", help="where rows are appended")
    parser.add_argument("--work", type=Path, help="keep what is made in this new folder (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return parser.parse_args(words)


def say(line: str) -> None:
    """Print progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark; 0 if the bars of the peer's formats and of our TFLite files are met, 1 if not."""
    words, around = read_words(), circumstances()  # the load before ours is what tells
    weighed: list[Weighed] = []
    with tempfile.TemporaryDirectory(prefix="tbconv-bench-") as spare:
        work = words.work or Path(spare)
        work.mkdir(parents=True, exist_ok=True)
        try:
            for one in weigh_all(
                words.run.resolve(), work, repeats=words.repeats, timeout_s=words.timeout, peer=not words.no_peer
            ):
                row = csv_row(one, run=words.run, repeats=words.repeats, around=around)
                append_rows(words.csv, [row])  # at once: a peer that is interrupted loses nothing
                weighed.append(one)
        except TbconvError as error:
            say(f"error: {error}")
        except KeyboardInterrupt:
            say("interrupted; what had ended is kept")
    found, own = ratios(weighed), tflite_bar(weighed)
    if words.json:
        rows = [csv_row(one, run=words.run, repeats=words.repeats, around={}) for one in weighed]
        told = {"runs": rows, "ratios": [{"sentence": r.sentence(), "met": r.met} for r in found], "tflite": own}
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(ratio.sentence() for ratio in found) or "no ratio: no peer ran to an end")
        print(own[0] if own else "the four TFLite files were not made")
    return 0 if own and own[1] and any(ratio.program == SAME and ratio.met for ratio in found) else 1


if __name__ == "__main__":
    sys.exit(main())
