"""`tbconv evaluate`, top to bottom: one fit per fold -> predictions -> figures -> reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.errors import Reporter
from tbconv.contract.files import write_json
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.folds import fit_folds
from torch_train.evaluation.report import write_report
from torch_train.evaluation.summary import summarise
from torch_train.run_folder import run_folder_locked

SUMMARY = "evaluation.json"  # all figures; page and model card show nothing else


def evaluate(config: EvaluateConfig, reporter: Reporter, *, resume: bool = False) -> tuple[dict[str, Any], list[Path]]:
    """Judge a recipe on films that no network of it learned from.

    Args:
        config: recipe, protocol, and what figures need beside them.
        reporter: where progress goes.
        resume: go on with the evaluation in `config.out`; folds that are done are not fitted again, figures and
            reports are made anew.

    Returns:
        The figures as JSON, and the files that show them.

    Raises:
        DataError: the films cannot be shared out.
        ConfigError: the folder holds something else, or began under other terms.
        SetupError: weights or a device are missing.
    """
    with run_folder_locked(config.out):  # before it is looked at: another process may have finished there meanwhile
        predictions = fit_folds(config, reporter, resume=resume)
        reporter.say(f"figures and reports of {len(predictions.folds)} fits")
        summary = summarise(predictions, config.summary)
        write_json(config.out / SUMMARY, summary)
        return summary, [config.out / SUMMARY, *write_report(config.out, summary)]
