"""How the commands show themselves: one style of metavars, options in groups, examples that run, `-h`, `-q` and `-v`.

A word in capitals is to be replaced, words in small letters are to be chosen from (`--balance loss|sampler`). An option
that no table here knows gets its metavar by its type and stands under "Options": a new one needs no entry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from tbconv.console import Volume, set_volume

GROUPS = {
    "Films and labels": (
        "data films results label_table "
        "calibration positive_films negative_films boxes masks patient positive label negative "
        "labels_from_masks uncertain strict leave_out_trained trained_on fractions most most_read film_cache folder n"
    ),
    "Network": "arch weights fine_tune baseline_only size inputs normalise mean std positive_output labels names task",
    "Decision": "target_sensitivity operating_point thresholds referral sensitivity specificity score prevalence "
    "cost_film cost_test sensitivity_margin specificity_margin most_flips plan",
    "Training": "batch epochs learning_rate schedule patience weight_decay label_smoothing balance seed resume "
    "protocol folds repeats",
    "Augmentation": "rotation shift zoom brightness contrast flip disturb",
    "Conversion": "route formats io keep_float int8_budget calibration_films heldout_films",
    "Checks": "where quick matrix layers trace robustness run bundle onnx converted artefact site gate check of_film",
    "Server": "watch host port grpc_port threads queue deadline versions default_model",
    "Access": "public pseudonymise uncertified token admin_token allowed_host cors_origin root_path max_body",
    "Signature": "require_signature public_key signature root key new_key sign_key",
    "Machine": "device gpus jobs workers engine address shard_films film_timeout precision step deterministic",
}
LAST = "Output"  # with -q, -v and -h, after all others
OF_LAST = (
    "out bom attestation log_to overlay dicom_out dicom_formats png figure details as_json as_jsonl as_csv junit "
    "summary log_format log_level quiet verbose help"
)
_GROUP = {name: group for group, names in (*GROUPS.items(), (LAST, OF_LAST)) for name in names.split()}
OTHERS = "Options"

COMMANDS = {
    "Films and training": "data train adopt evaluate audit",
    "Conversion and proof": "convert verify compare prove",
    "Use": "predict score receipt serve page show retune push",
    "Care": "sign upgrade doctor",
}

# By command and parameter where it means another thing there, by parameter else.
METAVARS = {
    "convert run": "RUN|MODEL",
    "convert weights": "FILE|pretrained|random",
    "io": "float32|uint8|int8",
    "convert out": "BUNDLE",
    "upgrade out": "BUNDLE",
    "train out": "RUN",
    "adopt out": "RUN",
    "retune out": "BUNDLE",
    "sign target": "BUNDLE",
    "sign out": "FILE",
    "receipt out": "FILE",
    "results": "RESULTS",
    "receipt film": "FILM",
    "receipt check": "FILE",
    "receipt of_film": "FILE",
    "receipt root": "DIGEST",
    "predict films": "FILM",
    "score films": "FILMS",
    "score out": "RESULTS",
    "page out": "SITE",
    "pseudonymise": "KEYFILE",
    "engine": "local|ray",
    "address": "ADDRESS",
    "film_timeout": "SECONDS",
    "audit weights": "FILE",
    "audit robustness": "RUN|BUNDLE",
    "label_table": "CSV",
    "data": "DIR",
    "out": "DIR",
    "films": "DIR",
    "folder": "DIR",
    "calibration": "DIR",
    "overlay": "DIR",
    "masks": "DIR",
    "positive_films": "DIR",
    "negative_films": "DIR",
    "png": "DIR",
    "bundle": "BUNDLE",
    "old": "BUNDLE",
    "new": "BUNDLE",
    "run": "RUN",
    "checkpoint": "FILE",
    "file": "FILE",
    "converted": "FILE",
    "onnx": "ONNX",
    "artefact": "FILE",
    "boxes": "CSV",
    "thresholds": "FILE",
    "trained_on": "FILE",
    "signature": "FILE",
    "site": "FILE",
    "figure": "FILE",
    "bom": "FILE",
    "attestation": "FILE",
    "log_to": "TARGET",
    "repo": "REPO",
    "junit": "FILE",
    "summary": "FILE",
    "plan": "FILE",
    "referral": "PHRASE",
    "public_key": "PEM",
    "key": "PEM",
    "sign_key": "PEM",
    "new_key": "PEM",
    "patient": "REGEX",
    "positive": "NAME",
    "label": "FINDING",
    "negative": "FINDING",
    "arch": "NAME",
    "labels": "NAMES",
    "names": "NAMES",
    "fractions": "NUMBERS",
    "mean": "NUMBERS",
    "std": "NUMBERS",
    "keep_float": "NODE",
    "formats": "NAMES",
    "int8_budget": "SECONDS",
    "deadline": "SECONDS",
    "max_body": "MB",
    "rotation": "DEGREES",
    "host": "ADDRESS",
    "allowed_host": "HOST",
    "cors_origin": "ORIGIN",
    "token": "TOKEN",
    "admin_token": "TOKEN",
    "default_model": "NAME",
    "root_path": "PATH",
    "weights": "imagenet|none|FILE",
    "fine_tune": "all|N",
    "balance": "loss|sampler",
    "schedule": "cosine|plateau",
    "precision": "auto|float32|bfloat16|float16",
    "device": "auto|cpu|cuda",
    "step": "auto|compiled|graph|eager",
    "operating_point": "best|highest",
    "uncertain": "leave-out|positive|negative",
    "protocol": "folds|sites|70/20/10",
    "route": "own|tensorflow|onnx2tf|litert-torch",
    "normalise": "imagenet|unit|none",
    "task": "one-of-n|binary|multi-label|score",
    "adopt task": "one-of-n|multi-label",
    "train task": "one-of-n|multi-label",
}
BY_TYPE = {Path: "PATH", int: "N", float: "NUMBER", str: "TEXT"}

EXAMPLES = {
    "train": (
        "tbconv train --data FILMS --out RUN",
        "tbconv train --data FILMS --out RUN --patient 'person(\\d+)_' --arch resnet18",
        "tbconv train --data FILMS --out RUN --task multi-label --names Effusion,Nodule",
        "tbconv train --data FILMS --out RUN --resume",
    ),
    "adopt": (
        "tbconv adopt best.pth --arch resnet50 --data FILMS --out RUN",
        "tbconv adopt c.pt --arch resnet18 --data F --out R --task one-of-n --names A,B",
    ),
    "evaluate": (
        "tbconv evaluate --data FILMS --out REPORT",
        "tbconv evaluate --bundle BUNDLE --data SITE",
        "tbconv evaluate --results RESULTS --labels labels.csv",
    ),
    "audit": (
        "tbconv audit --data FILMS --out REPORT",
        "tbconv audit --robustness RUN --out REPORT",
    ),
    "convert": (
        "tbconv convert RUN --out BUNDLE",
        "tbconv convert RUN --out BUNDLE --int8-budget 20",
        "tbconv convert RUN --out BUNDLE --formats tflite-int8,onnx",
        "tbconv convert model.onnx --calibration FILMS --out FORMATS",
        "tbconv convert timm:resnet10t --weights w.pt --calibration FILMS --out OUT",
    ),
    "verify": (
        "tbconv verify BUNDLE --quick",
        "tbconv verify BUNDLE --films FILMS",
        "tbconv verify BUNDLE --trace",
        "tbconv verify BUNDLE --where wasm,cortex-a76",
    ),
    "prove": ("tbconv prove BUNDLE", "tbconv prove --onnx model.onnx --file model.tflite"),
    "predict": (
        "tbconv predict BUNDLE film.png",
        "tbconv predict BUNDLE FILMS --csv > answers.csv",
        "tbconv predict BUNDLE FILMS --overlay PICTURES",
        "tbconv predict BUNDLE film.dcm --dicom-out REPORTS",
    ),
    "score": (
        "tbconv score BUNDLE --films FILMS --out RESULTS",
        "tbconv score BUNDLE --films table.csv --out RESULTS --pseudonymise KEYFILE",
    ),
    "serve": (
        "tbconv serve BUNDLE",
        "tbconv serve MODELS --watch --host 0.0.0.0 --log-format json",
    ),
    "page": (
        "tbconv page BUNDLE --out SITE",
        "tbconv page BUNDLE --out SITE --artefact model_float32.tflite",
    ),
    "push": ("tbconv push BUNDLE OWNER/NAME",),
    "retune": (
        "tbconv retune BUNDLE --films SITE --sensitivity 0.95 --out NEW",
        "tbconv retune BUNDLE --films SITE --score 62 --out NEW",
    ),
    "compare": (
        "tbconv compare OLD NEW --films FILMS",
        "tbconv compare OLD NEW --films FILMS --sensitivity-margin 0.02",
    ),
    "receipt": (
        "tbconv receipt RESULTS film.png --out receipt.json",
        "tbconv receipt --check receipt.json --film film.png --root ROOT",
        "tbconv receipt RESULTS",
    ),
    "show": ("tbconv show BUNDLE", "tbconv show BUNDLE --json"),
    "sign": ("tbconv sign --new-key key.pem", "tbconv sign BUNDLE --key key.pem"),
    "upgrade": ("tbconv upgrade OLD --out NEW",),
    "doctor": ("tbconv doctor", "tbconv doctor --clean"),
    "check": ("tbconv data check FILMS",),
    "export": ("tbconv data export FILMS --png OUT",),
    "phantom": ("tbconv data phantom FILMS --n 900",),
}


class Command(TyperCommand):
    """A command whose help has groups of options and examples."""

    def __init__(self, name: str | None, **options: Any) -> None:
        super().__init__(name, **options)
        for param in self.params:
            param.metavar = metavar_of(name or "", param)
            param.rich_help_panel = _GROUP.get(param.name or "", OTHERS)  # type: ignore[attr-defined]  # Typer's own

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: BUNDLE FILM... rather than {bundle} {films}..."""
        return [self.options_metavar or "", *(_usage(one) for one in self.get_params(ctx) if one.opts[0][0] != "-")]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the groups of options, in the order of the table."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                rows.setdefault("Arguments", []).append((_usage(param).strip("[]"), record[1]))
            else:
                rows.setdefault(_GROUP.get(param.name or "", OTHERS), []).append(record)
        for group in ("Arguments", *GROUPS, OTHERS, LAST):
            if group in rows:
                with formatter.section(group):
                    formatter.write_dl(rows[group])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one a line, to be copied."""
        super().format_epilog(ctx, formatter)
        if lines := EXAMPLES.get(self.name or ""):
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(TyperGroup):
    """Commands in the order in which they are used, whole sentences beside them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in groups."""
        left = dict.fromkeys(self.list_commands(ctx))
        for group, names in (*COMMANDS.items(), ("Commands", " ".join(left))):
            rows = [(name, self._words(ctx, name)) for name in names.split() if name in left]
            left = {name: None for name in left if name not in names.split()}
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)

    def _words(self, ctx: Any, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=200) if command is not None else ""


def metavar_of(command: str, param: Any) -> str | None:
    """Return how the value of a parameter is called in help; None for a switch."""
    if getattr(param, "is_flag", False):
        return None
    kind = param.type_descriptor
    if kind.is_choice:
        return "|".join(str(one) for one in kind.choices)
    kind = get_args(kind.annotation)[0] if get_origin(kind.annotation) is list else kind.annotation
    known = METAVARS.get(f"{command} {param.name}") or METAVARS.get(param.name or "")
    if kind in (int, float):  # `--films 64` counts, `--films DIR` names
        return known if known in ("SECONDS", "MB", "DEGREES") else BY_TYPE[kind]
    given = param.metavar if param.metavar and param.metavar.isupper() else None
    return known or given or BY_TYPE.get(kind, "TEXT")


def _usage(param: Any) -> str:
    name = f"{param.metavar}..." if param.nargs != 1 else str(param.metavar)
    return name if param.required else f"[{name}]"


# --- options of every command ---

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress; results, notes, warnings and errors stay.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Seconds before each line of progress; where an error arose.")
]


def with_volume(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `-q` and `-v`."""

    @wraps(command)
    def louder_or_not(*words: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("-q and -v together: omit one of them")
        set_volume(Volume.QUIET if quiet else Volume.VERBOSE if verbose else Volume.NORMAL)
        command(*words, **options)

    own = inspect.signature(command, eval_str=True).parameters.values()
    both = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False)
        for name, kind in (("quiet", Quiet), ("verbose", Verbose))
    ]
    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    louder_or_not.__signature__ = inspect.Signature([*keyword_only, *both])  # type: ignore[attr-defined]  # Typer reads it
    return louder_or_not
