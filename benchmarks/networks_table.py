"""docs/networks.md, drawn from results/networks.csv alone: the last row of each network."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.families_table import FLOAT32, KINDS, family_lines
from benchmarks.other_libraries_table import other_library_lines

SIDE, SEED = 224, 4  # of the networks' input and random weights
TABLE = Path(__file__).parent.parent / "docs" / "networks.md"
COLUMNS = (
    "network",
    "parameters",
    "nodes",
    "s (CPU s)",
    "GB",
    "float32: max (allowed)",
    "flips",
    "float32 MB",
    *(f"{kind}: MB, dB, flips" for kind in KINDS),
    "onnx2tf",
)
HEAD = f"""# Networks

## Twelve backbones, every format

Written by `python -m benchmarks.networks FILMS`; its rows are in `benchmarks/results/networks.csv`, with date, commit,
load and versions.

Each can be trained: `tbconv train --arch NAME` puts this project's head, with its exact evidence map, in place of
the classifier; `tbconv adopt` takes over those whose own classifier is one dense layer. The table of both is
`torch_train/model/backbones.py`. What follows is a third way, the network as an ONNX file.

torchvision's classifiers with **random weights** (seed {SEED}) and 1,000 outputs, BatchNorm statistics of real films,
{SIDE} x {SIDE}, through `tbconv convert MODEL.onnx --calibration FILMS`. Parity is against ONNX Runtime without
optimisations on the file itself. float32 is the worst of ONNX, `.keras`, H5, SavedModel and TFLite, flips their sum:
films whose largest class changes. Random weights put 1,000 classes close together, so the flips of reduced files say
little of trained networks; 0 of 64 flips still allow 4.6 % (95 %). The weights of this mobilenet_v2 rounded to float16
give 32 dB in ONNX Runtime itself (12 films), so a low figure there is due to the draw. Parameters and nodes are
those of the ONNX, whose exporter folds BatchNorm. Seconds are of the whole conversion beside other work on two cores,
GB its peak of memory.
"""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the last row of each network."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list({row["network"]: row for row in csv.DictReader(file)}.values())


def draw_table(path: Path) -> None:
    """Write docs/networks.md from the rows."""
    rows = read_rows(path)
    if not rows:
        return
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    TABLE.write_text(
        HEAD + "\n" + "\n".join([*lines, *family_lines(), *other_library_lines()]) + "\n", encoding="utf-8"
    )


def cells(row: dict[str, str]) -> list[str]:
    """Return the cells of one network; the error in place of figures where there is one."""
    if row["error"]:
        return [row["network"], row["error"], *("-",) * (len(COLUMNS) - 2)]
    flips = sum(int(row[f"flips_{one}"]) for one in FLOAT32)
    compared = int(row["films"]) * len(FLOAT32)
    found = [row["network"], f"{int(row['parameters']):,}", row["nodes"]]
    found += [f"{row['seconds']} ({row['cpu_seconds']})", row["peak_rss_gb"]]
    found += [f"{float(row['float32_worst']):.1e} ({float(row['float32_tolerance']):.1e})"]
    found += [f"{flips} of {compared}", row["float32_mb"]]
    return [*found, *(_reduced(row, kind, row["films"]) for kind in KINDS), row["onnx2tf"]]


def _reduced(row: dict[str, str], kind: str, films: str) -> str:
    if row[f"{kind}_db"] == "":
        return row[f"{kind}_verdict"].lower()
    return f"{row[f'{kind}_mb']}, {float(row[f'{kind}_db']):.0f}, {row[f'{kind}_flips']} of {films}"
