"""Which networks benchmarks.families tries, and docs/networks.md's table of them and of its peers, from two CSVs."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from benchmarks.results import RESULTS
from tbconv.contract.statistics import exact_interval

CSV, PEERS_CSV = RESULTS / "families.csv", RESULTS / "families_peers.csv"
WHOLE = RESULTS / "families_whole.csv"
PEERS = ("onnx2tf", "litert-torch")
# The smallest by parameters of each module of timm 1.0.31 (timm.list_modules()), with those of torchvision's
# families, smallest first.
# Of a family without a classifier none (qwen3_vit); not tried for their size: timm:vgg11, gemma4_vit, deepseek_vit.
LISTS = (
    (
        "torchvision",
        """
        squeezenet1_1 shufflenet_v2_x0_5 mnasnet0_5 mobilenet_v3_small mobilenet_v2 regnet_y_400mf efficientnet_b0
        """,
    ),
    (
        "timm",
        """
        test_convnext test_efficientnet test_vit test_nfnet test_mambaout test_byobnet test_resnet starnet_s050
        test_coatnet test_vit_relpos dla46x_c mobilevit_xxs edgenext_xx_small mobilenetv3_small_050
        ese_vovnet19b_slim_dw repghostnet_050 efficientvit_m0 ghostnet_050 regnetx_002 cspnext_tiny iformer_t
        xcit_nano_12_p8_224 cs3darknet_focus_s efficientvit_b0 swiftformer_xs efficientformerv2_s0 pvt_v2_b0
        fasternet_t0 fastvit_t8 lcnetv2_small inception_next_atto rexnet_100 pit_ti_224 hardcorenas_b repvit_m1
        eva02_tiny_patch14_336 coat_tiny convit_tiny deit_tiny_patch16_224 gmlp_ti16_224
        """,
    ),
    (
        "torchvision",
        """
        googlenet densenet121 resnet18 efficientnet_v2_s resnext50_32x4d inception_v3 swin_t swin_v2_t convnext_tiny
        maxvit_t
        """,
    ),
    (
        "timm",
        """
        hgnetv2_b0 shvit_s1 vit_tiny_r_s16_p8_224 cpubone_nano efficientvim_m1 crossvit_tiny_240 levit_128s
        densenet121 halonet_h1 dpn48b visformer_tiny resnest14d csatv2 resnetv2_18 legacy_seresnet18
        poolformerv2_s12 cait_xxs24_224 skresnet18 gcvit_xxtiny tiny_vit_5m_224 efficientformer_l1 hrnet_w18_small
        lowformer_b0 nest_tiny convmixer_768_32 vitamin_small_224 legacy_xception tnt_s_legacy_patch16_224
        inception_v3 rdnet_tiny twins_svt_small mvitv2_tiny res2next50 volo_d1_224 hieradet_small xception41p
        sequencer2d_s hiera_tiny_224 swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256
        davit_tiny focalnet_tiny_srf selecsls42 tresnet_m nextvit_small inception_v4 inception_resnet_v2
        mobilenetv5_base pnasnet5large samvit_base_patch16_224 naflexvit_base_patch16_parfac_gap
        beit_base_patch16_224 nasnetalarge
        """,
    ),
    (
        "torchvision",
        """
        alexnet wide_resnet50_2 vit_b_32 vgg11
        """,
    ),
    # The others of torchvision; not tried for their size: convnext_large, vit_l_16, vit_l_32, vit_h_14, regnet_y_128gf.
    (
        "torchvision",
        """
        squeezenet1_0 shufflenet_v2_x1_0 mnasnet0_75 shufflenet_v2_x1_5 mnasnet1_0 mobilenet_v3_large regnet_x_400mf
        mnasnet1_3 regnet_y_800mf regnet_x_800mf shufflenet_v2_x2_0 efficientnet_b1 efficientnet_b2 regnet_x_1_6gf
        regnet_y_1_6gf efficientnet_b3 densenet169 regnet_x_3_2gf efficientnet_b4 regnet_y_3_2gf densenet201 resnet34
        resnet50 densenet161 efficientnet_b5 regnet_y_8gf regnet_x_8gf efficientnet_b6 resnet101 swin_s swin_v2_s
        convnext_small efficientnet_v2_m regnet_x_16gf resnet152 efficientnet_b7 resnext101_64x4d regnet_y_16gf vit_b_16
        swin_b swin_v2_b convnext_base resnext101_32x8d regnet_x_32gf efficientnet_v2_l wide_resnet101_2 vgg11_bn vgg13
        vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn regnet_y_32gf
        """,
    ),
)
FAMILIES = tuple(f"{library}:{name}" for library, names in LISTS for name in names.split())
HEAD = """## One of each family

Written by `python -m benchmarks.families FILMS`, whose rows are in `benchmarks/results/families.csv` with date, commit,
load and versions: of each family of timm (a module of timm {version}) the network with the fewest parameters, and
torchvision's classifiers, one a family before the others. Random weights (seed 4), running statistics of 16 drawn
films, the smallest side of 96, 128, 224 and the config's own that the network takes.

A network converts where ONNX, our TFLite files in float32, float16 and dynamic range and `.keras` are written, neither
the proof of the float32 TFLite nor of `.keras` finds another network, and no decision of 64 films differs from PyTorch
in float64. The decision is the first logit minus the second against the middle of the widest gap that leaves 16 films
or more on each side. Steps are float32 steps of the largest answer; int8, SavedModel and H5 are no part of this pass.

**{converted} of {tried} tried convert ({low:.0%} to {high:.0%}, 95 %)**; {waiting} of the list were not tried yet.
They are tried roughly from the smallest up, so the interval is neither one of the larger ones nor of all networks. Nor
is it one of first attempts: {again} were tried again after a fault was mended or a rule was added, and rows are of
several commits, some with uncommitted changes (`commit` in the CSV). Left out: timm's qwen3_vit, which has no
classifier, and, for their size, timm's vgg11, gemma4_vit and deepseek_vit.
"""
WHOLE_HEAD = """### Whole conversions

Written by `python -m benchmarks.families_whole FILMS`, rows in `benchmarks/results/families_whole.csv`: networks of the
same list through `tbconv convert LIBRARY:NAME` as a user runs it, every format, 64 films of kermany compared. Each has
two classes and a bias that divides the films in half, so that a flip is one of a decision near which films lie: random
weights put whole films within rounding of each other, and ask more of a reduced file than trained ones do.

**{good} of {tried} end with a float32 file CERTIFIED ({low:.0%} to {high:.0%}, 95 %).** float32 flips are over ONNX,
`.keras`, H5, SavedModel and TFLite; what is not made is named. Of reduced files: the verdict, dB, flips of 64. A file
that is not "measured" is not offered. Seconds are beside other work, with those of processor time; GB is the peak.
"""
WHOLE_COLUMNS = ("network", "side", "float32 flips", "not made", "float16", "dynamic", "int8", "s (CPU s)", "GB")
FLOAT32 = ("model.onnx", "model.keras", "model.h5", "saved_model", "model_float32.tflite")
KINDS = ("float16", "dynamic", "int8")
OF_PEERS = """
The last two columns are other converters' float32 TFLite of the same network, by the same judgement: steps, and flips
where there are any; empty where it was not tried. `python -m benchmarks.families_peers FILMS` writes them, into
`benchmarks/results/families_peers.csv`: {versions}, {limit} s each at most by the
clock, beside other work.

{counted}
Of the {refused} networks that we refuse they were tried on {on}. Networks that one of them converts without
a flip and we do not: {lost}.
"""
COLUMNS = (
    *("network", "side", "parameters", "proof TFLite / Keras", "steps ONNX / TFLite / Keras", "flips", "MB", "s"),
    *PEERS,
)
LIMIT_S = 300  # by the clock, that a peer may take for a network: beside others' work a minute alone is three
LONGEST_CELL = 90
Peers = dict[tuple[str, str], dict[str, str]]  # rows by network and peer


def read_rows(path: Path | None = None) -> list[dict[str, str]]:
    """Return the last row of each network; of the families where no file is given."""
    path = path or CSV
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list({row["network"]: row for row in csv.DictReader(file)}.values())


def attempts() -> Counter[str]:
    """Return how often each network was tried."""
    with CSV.open(newline="", encoding="utf-8") as file:
        return Counter(row["network"] for row in csv.DictReader(file))


def family_lines() -> list[str]:
    """Return the section of docs/networks.md as lines; nothing where nothing was tried."""
    rows = read_rows()
    if not rows:
        return []
    converted = [row for row in rows if row["converts"] == "yes"]
    refused = [row for row in rows if row["converts"] != "yes"]
    low, high = exact_interval(len(converted), len(rows))
    version = next((row["library"].split()[-1] for row in rows if row["library"].startswith("timm")), "?")
    waiting = len(set(FAMILIES) - {row["network"] for row in rows})
    again = sum(count > 1 for count in attempts().values())
    head = HEAD.format(
        version=version,
        converted=len(converted),
        tried=len(rows),
        low=low,
        high=high,
        waiting=waiting or "none",
        again=again,
    )
    peers = read_peers()
    lines = ["", *head.splitlines(), *peer_lines(peers, rows)]
    lines += ["", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(cells(row, peers))} |" for row in converted]
    if refused:
        heads = ("network", "side", "at", "operations", "reason", *PEERS)
        lines += ["", "Refused:", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join([*refusal(row), *by_peers(row['network'], peers)])} |" for row in refused]
    return lines + whole_lines()


def read_peers() -> Peers:
    """Return the last row of each network and peer."""
    if not PEERS_CSV.is_file():
        return {}
    with PEERS_CSV.open(newline="", encoding="utf-8") as file:
        return {(row["network"], row["peer"]): row for row in csv.DictReader(file)}


def lost_to(peers: Peers, rows: list[dict[str, str]]) -> list[str]:
    """Return the networks that we tried and refuse, and of which a peer's file is right."""
    refused = {row["network"] for row in rows if row["converts"] != "yes"}
    return sorted({network for (network, _), row in peers.items() if network in refused and _is_right(row)})


def _is_right(row: dict[str, str]) -> bool:
    return row["converts"] == "yes" and row["flips"] == "0"


def peer_lines(peers: Peers, tried: list[dict[str, str]]) -> list[str]:
    """Return what the peers' columns are, how many files of each are right, and where we are behind."""
    versions, counted = [], []
    for peer in PEERS:
        rows = [row for (_, one), row in peers.items() if one == peer]
        versions += list(dict.fromkeys(row["converter"].split(" -")[0] for row in rows if row["converter"]))
        right = sum(map(_is_right, rows))
        wrong = sum(row["converts"] == "yes" for row in rows) - right
        failed = len(rows) - right - wrong
        counted += [f"{peer}: {right} of {len(rows)} tried without a flip, {wrong} with, {failed} failed"]
    refused = {row["network"] for row in tried if row["converts"] != "yes"}
    text = OF_PEERS.format(
        versions=", ".join(versions),
        limit=LIMIT_S,
        counted="; ".join(counted) + ".",
        refused=len(refused),
        on=len(refused & {network for network, _ in peers}),
        lost=", ".join(lost_to(peers, tried)) or "none",
    )
    return text.splitlines() if peers else []


def by_peers(network: str, peers: Peers) -> list[str]:
    """Return the peers' cells of a network."""
    return [peer_cell(peers.get((network, peer))) for peer in PEERS]


def peer_cell(row: dict[str, str] | None) -> str:
    """Return steps and flips of a peer's file, or why there is none; nothing where it was not tried."""
    if row is None:
        return ""
    if row["converts"] != "yes":
        return f"failed: {_as_cell(row['reason'])[:LONGEST_CELL]}"
    return row["steps"] if row["flips"] == "0" else f"{row['steps']}, **{row['flips']} of 64 flip**"


def _as_cell(text: str) -> str:
    """Return a reason as a cell shows it, files by their names alone: where they lay is its machine's matter."""
    text = re.sub(r"/(?:work|tmp)(?:/[\w.-]*)*/", "", text)
    return text.replace("|", "/").replace("<", "&lt;").replace("*", "x").replace("_", r"\_")


def cells(row: dict[str, str], peers: Peers) -> list[str]:
    """Return the cells of a network that converts."""
    found = [row["network"], row["side"], f"{int(row['parameters']):,}"]
    found += [f"{row['proof_tflite'].lower()} / {row['proof_keras'].lower()}"]
    found += [" / ".join(row[f"steps_{one}"] for one in ("onnx", "tflite", "keras"))]
    found += [f"{row['flips']} ({row['sides']})", row["tflite_mb"], row["seconds"]]
    return [*found, *by_peers(row["network"], peers)]


def whole_lines() -> list[str]:
    """Return the section of whole conversions as lines; nothing where none was tried."""
    rows = read_rows(WHOLE)
    if not rows:
        return []
    good = sum(row["exit"] == "0" for row in rows)
    low, high = exact_interval(good, len(rows))
    head = WHOLE_HEAD.format(good=good, tried=len(rows), low=low, high=high)
    lines = ["", *head.splitlines(), "", f"| {' | '.join(WHOLE_COLUMNS)} |", f"|{'---|' * len(WHOLE_COLUMNS)}"]
    return lines + [f"| {' | '.join(whole_cells(row))} |" for row in rows]


def whole_cells(row: dict[str, str]) -> list[str]:
    """Return the cells of a network that was converted whole; the error in place of figures where there is one."""
    name, side = row["network"], row["side"] or "its config's"
    if row["error"]:
        return [name, side, row["error"].replace("|", "/")[:200], *("-",) * (len(WHOLE_COLUMNS) - 3)]
    flips = {one: row[f"flips_{one}"] for one in FLOAT32}
    made = [one for one, found in flips.items() if found]
    wrong = sum(int(flips[one]) for one in made)
    without = ", ".join(one for one in FLOAT32 if one not in made)
    found = [name, side, f"{wrong} of {int(row['films']) * len(made)}", without or "-"]
    for kind in KINDS:
        figures = f", {float(row[f'{kind}_db']):.0f} dB, {row[f'{kind}_flips']}" if row[f"{kind}_db"] else ""
        found.append(f"{row[f'{kind}_verdict'].lower()}{figures}")
    return [*found, f"{row['seconds']} ({row['cpu_seconds']})", row["peak_rss_gb"]]


def refusal(row: dict[str, str]) -> list[str]:
    """Return the cells of a network that does not."""
    return [row["network"], row["side"] or "-", row["stage"], row["operations"] or "-", _as_cell(row["reason"])[:300]]
