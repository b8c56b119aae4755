"""The folder of an evaluation: its terms, and a file for every fold that is done, each whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.bundle import MANIFEST, read_json
from tbconv.contract.errors import ConfigError
from tbconv.contract.files import write_json
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.predictions import FILE, Fold, fold_from_json, fold_to_json
from torch_train.run_folder import CHECKPOINT, RUN

TERMS = "terms.json"  # what all folds share: recipe, protocol, films, cuts
FOLD = "fold.json"


def open_folder(config: EvaluateConfig, *, resume: bool) -> None:
    """Refuse a folder that holds something already, or nothing to go on with.

    Raises:
        ConfigError: it is not one for this command.
    """
    if resume and not (config.out / TERMS).is_file():
        why, fix = f"it has no {TERMS}", "leave --resume away to begin"
        raise ConfigError(f"nothing to resume in {config.out}", why=why, fix=fix)
    kinds = {FILE: "an evaluation", TERMS: "an evaluation", RUN: "a run", CHECKPOINT: "a run", MANIFEST: "a bundle"}
    kinds["folds"] = "folds of an evaluation"  # without its terms nobody knows what they are of
    for name, kind in kinds.items():
        if (config.out / name).exists() and not resume:
            go_on = "--resume to go on with it, or " if kind == "an evaluation" else ""
            raise ConfigError(
                f"{config.out} holds {kind} already ({name})",
                why="evaluating there would overwrite it",
                fix=f"{go_on}another --out",
            )


def keep_terms(folder: Path, terms: dict[str, Any], *, resume: bool) -> None:
    """Write the terms of an evaluation, or compare them with those under which it began.

    Raises:
        ConfigError: they differ.
    """
    if not resume:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TERMS, terms)
        return
    then = read_json(folder / TERMS)
    for name in (*terms, *sorted(then.keys() - terms.keys())):  # digests last: other words say more
        if then.get(name) != terms.get(name):
            raise ConfigError(
                f"{name} is {_short(terms.get(name))}, {folder} began with {_short(then.get(name))}",
                why="folds under different terms do not add up to one figure",
                fix="go on as it began, or evaluate anew in another --out",
            )


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)  # a digest


def write_fold(config: EvaluateConfig, key: str, fold: Fold) -> None:
    """Write what a fold found, then drop the checkpoint that it no longer needs."""
    folder = config.out / "folds" / key
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FOLD, fold_to_json(fold))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def read_fold(config: EvaluateConfig, key: str) -> Fold | None:
    """Return what a fold found; None where it is not done.

    Raises:
        BundleError: its file is damaged.
    """
    path = config.out / "folds" / key / FOLD
    if not path.is_file():
        return None
    path.with_name(CHECKPOINT).unlink(missing_ok=True)  # left where a kill came between the two
    return fold_from_json(read_json(path))


def count_done(folder: Path) -> int:
    """Count the folds of an evaluation that are done."""
    return len(list(folder.glob(f"folds/*/{FOLD}")))
