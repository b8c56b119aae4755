"""The run folder: what training leaves behind, and all that conversion needs without the films."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract import files
from tbconv.contract.bundle import MANIFEST, read_json
from tbconv.contract.errors import BundleError, ConfigError, Referral
from tbconv.contract.files import atomic_file, disk_errors_stated, only_writer, read_arrays, sha256_bytes, write_json
from tbconv.contract.golden import stored_inputs
from tbconv.contract.manifest import (
    CHOICE_WORDS,
    LOWEST_SLOPE,
    Calibration,
    DecisionRule,
    Labels,
    OperatingPoint,
    proposed_referral,
)
from tbconv.contract.statistics import Estimate, positive_predictive_value
from tbconv.report_kit.words import ELSEWHERE, ELSEWHERE_THAN_SITE, at_least, digits_for, estimate

RUN = files.RUN  # RunFacts: written last, so a folder with it is a finished run
CONFIG = "train_config.json"
HISTORY = "history.jsonl"
METRICS = "metrics.json"
WEIGHTS = "weights.safetensors"  # float32: XrayNetwork's state of the selected epoch, or AdoptedNetwork's
BASELINE = "baseline.safetensors"  # weight [784], bias [1]
SPLIT = "split.json"
ROBUSTNESS = "robustness.json"  # of `tbconv audit --robustness RUN`; a bundle takes it over
CHECKPOINT = files.CHECKPOINT
CALIBRATION_FILMS = "calibration.npz"  # of the training part: model_inputs uint8 [N, 224, 224], labels int64 [N]
REPORT = "report.md"
LABELS = files.LABELS_RUN  # LabelsFacts: several labels, or one of N classes; written last
LABELS_SCHEMA = "tbconv-labels/1"
HELDOUT_FILMS = "heldout.npz"  # test films first, then validation: model inputs, labels, part


@dataclass(frozen=True, slots=True)
class RunFacts:
    """run.json: what the weights mean."""

    name: str
    arch: str | None  # of `BACKBONES`, torchvision-NAME if adopted; None where only the baseline was fitted
    labels: Labels
    decision_rules: dict[str, DecisionRule]  # by network: trained, baseline
    synthetic: bool
    provenance: dict[str, Any]  # commit, packages, machine, data digest, split digest
    referral: str | None = None  # what a flag calls for; empty names nothing, None (older runs) leaves it to the labels

    @property
    def words(self) -> Referral:
        """What a flag calls for, and the sentences that are made of it."""
        return Referral(proposed_referral(self.labels) if self.referral is None else self.referral)


@dataclass(frozen=True, slots=True)
class Films:
    """Preprocessed films and their labels; no names, no patients."""

    model_inputs: NDArray[np.uint8]  # [N, 224, 224]
    labels: NDArray[np.int64]  # [N], 1 positive
    part: NDArray[np.str_]  # [N], train | test | validation

    @property
    def digest(self) -> str:
        """SHA-256 over pixels and labels."""
        return sha256_bytes(self.model_inputs.tobytes() + self.labels.tobytes())


def require_free_folder(out: Path, *, fix: str) -> None:
    """Refuse a folder that holds a run or a bundle, before a film is read; `fix` is for a run."""
    for name in (RUN, LABELS, CHECKPOINT, MANIFEST):
        if (out / name).exists():
            kind = {MANIFEST: "a bundle", LABELS: "a network of several labels"}.get(name, "a run")
            fix = fix if kind == "a run" else "another --out"
            why = "writing a run there would overwrite it"
            raise ConfigError(f"{out} holds {kind} already ({name})", why=why, fix=fix)


@contextmanager
def run_folder_locked(out: Path) -> Iterator[None]:
    """Make a folder and be the only process that writes there; a folder that was made for nothing goes again.

    Raises:
        ConfigError: another process writes there.
        SetupError: it cannot be made.
    """
    made = not out.exists()
    with disk_errors_stated(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        with only_writer(out):
            yield
    finally:
        if made:
            with suppress(OSError):  # it holds something
                out.rmdir()


def write_run(folder: Path, facts: RunFacts) -> None:
    """Write run.json."""
    write_json(folder / RUN, asdict(facts))


def read_run(folder: Path) -> RunFacts:
    """Read run.json.

    Raises:
        BundleError: the folder does not hold a finished run.
    """
    if not (folder / RUN).is_file():
        begun, advice = (folder / CHECKPOINT).is_file(), files.advice_on(folder)
        why = f"it has a checkpoint but no {RUN}: training stopped early" if begun else f"it has no {RUN}"
        fix = f"tbconv train --data DIR --out {folder}" + (" --resume" if begun else "")
        if advice is not None and advice.kind not in ("begun", "empty"):
            why, fix = advice.why, advice.fix
        raise BundleError(f"{folder} holds no finished run", why=why, fix=fix)
    value = read_json(folder / RUN)
    try:
        return RunFacts(
            **{key: value[key] for key in ("name", "arch", "synthetic", "provenance")},
            labels=Labels(**value["labels"]),
            referral=value.get("referral"),
            decision_rules={network: _decision_rule(row) for network, row in value["decision_rules"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"{folder / RUN} cannot be understood"
        fix = "train again: tbconv train --data DIR --out RUN"
        raise BundleError(what, why=f"{type(error).__name__}: {error}", fix=fix) from error


def _decision_rule(row: dict[str, Any]) -> DecisionRule:
    return DecisionRule(Calibration(**row["calibration"]), OperatingPoint(**row["operating_point"]))


def write_films(path: Path, films: Films, **more: Any) -> None:
    """Write films, and further arrays, as a compressed .npz without pickles, whole or not at all."""
    with atomic_file(path) as file:
        np.savez_compressed(file, model_inputs=films.model_inputs, labels=films.labels, part=films.part, **more)


def read_films(path: Path) -> Films:
    """Read films.

    Raises:
        BundleError: the file is missing or damaged.
    """
    fix = "train again: tbconv train --data DIR --out RUN"
    with read_arrays(path, "films", error=BundleError, fix=fix) as arrays:
        films = Films(stored_inputs(arrays), arrays["labels"], arrays["part"])
        shape, rows = films.model_inputs.shape, len(films.model_inputs)
        if films.model_inputs.dtype != np.uint8 or len(shape) != 3 or {len(films.labels), len(films.part)} != {rows}:
            raise ValueError(f"model inputs are {films.model_inputs.dtype} {shape}, with {len(films.labels)} labels")
        return films


# --- several labels ---
# labels.json: what a network of several labels, or of one of N classes, decides, and where its thresholds come from.


AGAIN = "train or adopt it again: tbconv train, or tbconv adopt CHECKPOINT, with --task ... --out RUN"


@dataclass(frozen=True, slots=True)
class LabelsFacts:
    """What conversion needs of a network of several labels."""

    name: str
    task: str  # multi-label or one-of-n
    arch: str  # of `BACKBONES`, torchvision-NAME if adopted
    labels: tuple[str, ...]  # in the order of the outputs
    thresholds: dict[str, float]  # logits, by label; empty for one of N classes
    referral: str | None
    facts: dict[str, Any]  # all that the file holds

    @property
    def training_films_listed(self) -> bool | None:
        """Whether the list of the checkpoint's training films was read; None: it was trained here."""
        listed: bool | None = self.facts.get("training_films_listed", False)
        return listed

    @property
    def trained_here(self) -> bool:
        """Whether `tbconv train` made it."""
        return self.training_films_listed is None


def read_labels(folder: Path) -> LabelsFacts:
    """Read labels.json.

    Raises:
        BundleError: there is none, or it cannot be understood.
    """
    if not (folder / LABELS).is_file():
        raise BundleError(f"{folder} holds no network of several labels", why=f"it has no {LABELS}", fix=AGAIN)
    value = read_json(folder / LABELS)
    try:
        thresholds = {str(name): float(number) for name, number in value["thresholds"].items()}
        labels = tuple(map(str, value["labels"]))
        words = {key: str(value[key]) for key in ("name", "task", "arch")}
        fits = value["schema"] == LABELS_SCHEMA and (set(thresholds) == set(labels) or words["task"] == "one-of-n")
        fits &= Path(words["name"]).name == words["name"]  # files are named after it
        fits &= all(isinstance(value["films"][part], int) for part in ("test", "validation"))
        facts = LabelsFacts(**words, labels=labels, thresholds=thresholds, referral=value["referral"], facts=value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what, why = f"{folder / LABELS} cannot be understood", f"{type(error).__name__}: {error}"
        raise BundleError(what, why=why, fix=AGAIN) from error
    if not fits:
        why = "its schema is of another version, its thresholds are not those of its labels, or its name is no file's"
        raise BundleError(f"{folder / LABELS} cannot be understood", why=why, fix=AGAIN)
    return facts


def read_logits(path: Path) -> NDArray[np.float32]:
    """Return the logits, float32 [N, L], that PyTorch gave to the held-out films of such a folder.

    Raises:
        BundleError: the file is missing or damaged.
    """
    with read_arrays(path, "logits", error=BundleError, fix=AGAIN) as arrays:
        logits = np.asarray(arrays["logits"], np.float32)
        if logits.ndim != 2:
            raise ValueError(f"logits are {list(logits.shape)}")
        return logits


# --- report ---
# The results of a run from metrics.json alone, as tables that read the same on a terminal and in Markdown.

TITLES = {
    "auroc": "AUROC",
    "auroc_by_patient": "AUROC, by patient",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
}
# By whether the list of training films was read; None: trained here.
USE_OF_TEST_FILMS = {
    None: "used neither for training nor for the threshold",
    True: "not used for the threshold, and not in the list of training films",
    False: "not used for the threshold; whether training used them is unknown",
}
USE_WITHOUT_THRESHOLD = {
    None: "not used for training",
    True: "not in the list of training films",
    False: "used for nothing here but these figures; whether training used them is unknown",
}
OPENING = ("auroc", "sensitivity", "specificity")  # what a terminal shows first
PREVALENCES = (0.01, 0.1)  # of a screened population, and of people with symptoms
NETWORKS = {"trained": "trained network", "baseline": "baseline (28 x 28 pixels, logistic regression)"}


def opening(metrics: dict[str, Any]) -> list[str]:
    """Return what matters in four lines: the test films, the figures, what a flag is worth, the baseline beside it."""
    [(name, network), *_] = _networks(metrics)
    figures = network.get("test", {}).get("figures", {})
    shown = [f"{TITLES[key]} {estimate(figures[key])}" for key in OPENING if key in figures]
    worth = _worth_lines(metrics)[:2]
    point = f"flagged from a margin of {network['operating_point']['margin']:.3f} up"
    return [
        _subject(metrics),
        f"{NETWORKS[name]}: {', '.join(shown) or 'no figure of the test part is known'}",
        " ".join(worth).rstrip(";") or "PPV, what a flag is worth: not known",
        _gain_line(metrics["auroc_gain"]) if "auroc_gain" in metrics else point,
    ]


def summary_lines(metrics: dict[str, Any], *, narrow: bool = False) -> list[str]:
    """Return the test films, the figures with their intervals, and how to read them.

    Args:
        metrics: metrics.json.
        narrow: whether tables have to do with 80 columns, which leave no room for the method of an interval.
    """
    lines = [_subject(metrics), "", *_worth_lines(metrics)]
    for name, network in _networks(metrics):
        points = _point_lines(network, metrics["labels"], metrics.get("retuned"))
        lines += [f"### {NETWORKS[name]}", "", *points, "", *_table(network, narrow=narrow), ""]
    lines += [_gain_line(metrics["auroc_gain"]), ""] if "auroc_gain" in metrics else []
    return [*lines, *_how_to_read(metrics), "", metrics["disclaimer"]]


def report_lines(metrics: dict[str, Any], facts: dict[str, str], *, pictures: list[str]) -> list[str]:
    """Return report.md: the summary, the classification reports, the pictures and where it all came from."""
    kind = "synthetic " if metrics["synthetic"] else ""
    lines = [f"# Training report ({kind}{metrics['labels']['positive']} against {metrics['labels']['negative']})", ""]
    lines += summary_lines(metrics)
    for name, network in _networks(metrics):
        report = network["test"]["classification_report"].rstrip()
        lines += ["", f"### Classification report, {NETWORKS[name]}, test part", "", "```text", report, "```"]
    lines += ["", *(f"![{picture}]({picture})" for picture in pictures)]
    lines += ["", "### Provenance", "", *_align([["fact", "value"], *map(list, facts.items())])]
    return lines


def _networks(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the networks that there are, the trained one first."""
    return [(name, metrics["networks"][name]) for name in NETWORKS if name in metrics["networks"]]


def _subject(metrics: dict[str, Any]) -> str:
    test, names = metrics["films"]["test"], metrics["labels"]
    kind = "synthetic films (drawn phantoms, no patients)" if metrics["synthetic"] else "films"
    patients = f" of {test['patients']} patients" if metrics["patients_known"] else ", each counted as one patient"
    counts = f"{test['positives']} {names['positive']}, {test['negatives']} {names['negative']}"
    adopted = metrics.get("adopted")
    use = USE_OF_TEST_FILMS[None if adopted is None else adopted["training_films_listed"]]
    return f"Test part: {test['n']} {kind}{patients} ({counts}); {use}."


def _point_lines(network: dict[str, Any], names: dict[str, str], retuned: dict[str, Any] | None) -> list[str]:
    """Say which threshold it is, where it comes from, and at which the figures below are."""
    point, calibration = network["operating_point"], network["calibration"]
    n = point["positives"] + point["negatives"]
    sensitivity = f"sensitivity {_share(point['sensitivity'], point['positives'])} of {point['positives']} positives"
    specificity = f"specificity {_share(point['specificity'], point['negatives'])} of {point['negatives']} negatives"
    slope, offset = calibration["slope"], calibration["offset"]
    whose, fitted, asked = "validation films", "the same films", f"a sensitivity of {point['target_sensitivity']:g}"
    below = "Every figure below but AUROC is at that operating point."
    if retuned is not None:
        [(wanted, value)] = retuned["asked"].items()
        whose, fitted, asked = (
            "films of a site (tbconv retune)",
            "the run's validation films",
            f"a {wanted} of {value:g}",
        )
        below = "The test part's other figures were of an earlier operating point and are left out."
    return [
        f"Operating point: {names['positive']} from a margin of {point['margin']:.3f} up, chosen on {n} {whose}",
        f"for {asked}; there: {sensitivity}, {specificity}.",
        *_choice_lines(network),
        f"Probability = sigmoid({slope:.3f} x margin {offset:+.3f}), fitted on {fitted}.",
        *(
            ["(Validation margins do not rise with the label: this probability carries no information.)"]
            * (slope <= LOWEST_SLOPE)
        ),
        below,
    ]


def _choice_lines(network: dict[str, Any]) -> list[str]:
    """Say by which rule the point was chosen, and what the other one would have given; older runs tell neither."""
    chosen = network.get("operating_point_choice")
    if chosen is None:
        return []
    words = f"It is {CHOICE_WORDS[chosen]} (--operating-point {chosen})"
    others = [(name, one) for name, one in network["operating_points"].items() if name != chosen]
    other = "; ".join(
        f"{name} would be {one['margin']:.3f}, sensitivity {_share(one['sensitivity'], one['positives'])}, "
        f"specificity {_share(one['specificity'], one['negatives'])}"
        for name, one in others
    )
    return [f"{words}; {other}."]


def _table(network: dict[str, Any], *, narrow: bool) -> list[str]:
    """Return the test figures, and the films counted; of a threshold that was set anew nothing was counted there."""
    if "test" not in network:
        return ["No figure of the test part is known."]
    rows = [["test figure", "value", "95 % interval", "n", "interval by"]]
    for name, title in TITLES.items():
        if name in network["test"]["figures"]:
            rows.append([title, *_cells(network["test"]["figures"][name])])
    rows = [row[:-1] for row in rows] if narrow else rows
    if "confusion" not in network["test"]:
        return _align(rows)
    count = network["test"]["confusion"]
    table = [
        ["test films", "called positive", "called negative"],
        ["positive", str(count["true_positives"]), str(count["false_negatives"])],
        ["negative", str(count["false_positives"]), str(count["true_negatives"])],
    ]
    return [*_align(rows), "", *_align(table)]


def _cells(found: dict[str, Any]) -> list[str]:
    if found["value"] is None:
        return ["-", "-", "0", "no films"]
    digits = digits_for(found["n"])
    interval = f"{found['low']:.{digits}f} to {found['high']:.{digits}f}"
    return [_number(found["value"], digits), interval, str(found["n"]), found["method"]]


def _share(value: float, n: int) -> str:
    return _number(value, digits_for(n))


def _number(value: float, digits: int) -> str:
    """Round, but never up to a perfect score."""
    text = f"{value:.{digits}f}"
    return f">{1 - 10**-digits:.{digits}f}" if value < 1 and float(text) == 1 else text


def _worth_lines(metrics: dict[str, Any]) -> list[str]:
    """Say what a flag is worth where few are ill; the precision below is at the share of positives of the test films.

    Bounds are those of sensitivity and specificity put in together, as in an evaluation.
    """
    if not (networks := _networks(metrics)):
        return []
    name, network = networks[0]
    retuned = metrics.get("retuned")
    if retuned is None:
        figures, whose = network.get("test", {}).get("figures", {}), ELSEWHERE
        below = ["(The precision below is the PPV at the test films' own share of positives.)"]
    else:  # the run's own figures are of another threshold
        of_site = retuned["networks"].get(name, {}).get("figures", {})
        figures, whose, below = of_site.get("left_out") or of_site.get("after") or {}, ELSEWHERE_THAN_SITE, []
        if "score" not in retuned["asked"]:
            below = (
                ["(Counted at thresholds that other films of the site would have set.)"]
                if of_site.get("left_out")
                else ["(Counted on the films that the threshold was set on, which flatters it.)"]
            )
    if not {"sensitivity", "specificity"} <= figures.keys():
        return []
    sensitivity, specificity = (Estimate(**figures[key]) for key in ("sensitivity", "specificity"))
    found = [
        f"{at_least(asdict(positive_predictive_value(sensitivity, specificity, prevalence)))} "
        f"where {round(100 * prevalence)} in 100 are {metrics['labels']['positive']}"
        for prevalence in PREVALENCES
    ]
    return [
        f"PPV, what a flag of the {name} network is worth, {whose}:",
        *(f"{line}{'.' if line is found[-1] else ';'}" for line in found),
        *below,
        "",
    ]


def _gain_line(gain: dict[str, Any]) -> str:
    digits = digits_for(gain["n"])
    low, high = f"{gain['low']:+.{digits}f}", f"{gain['high']:+.{digits}f}"
    verdict = "above 0 at 95 % confidence" if gain["low"] > 0 else "which may be chance"
    return (
        f"AUROC of the trained network minus the baseline's: {gain['value']:+.{digits}f} ({low} to {high}, "
        f"{gain['method']}), {verdict if gain['value'] > 0 else 'no gain'}."
    )


def _how_to_read(metrics: dict[str, Any]) -> list[str]:
    n = metrics["films"]["test"]["n"]
    digits = digits_for(n)
    floor = 0.025 ** (1 / n)  # Clopper-Pearson's lower bound at n of n
    return [
        f"A 95 % interval contains the true value in 19 of 20 such samples. One film of {n} is {1 / n:.{digits + 1}f}",
        f"of accuracy, and even {n} of {n} correct is compatible with a true accuracy of {floor:.{digits}f};",
        f"figures are rounded to what {n} films support.",
        "Figures by film treat films as independent; AUROC by patient does not.",
    ]


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def labels_lines(facts: dict[str, Any], *, pictures: Sequence[str] = ()) -> list[str]:
    """Return the report of several labels: what it decides, the figures of each on the test films, what they rest on.

    Args:
        facts: what labels.json holds.
        pictures: names of files beside it.
    """
    multi, films, names = facts["task"] == "multi-label", facts["films"], facts["labels"]
    rule = "each label at or above its own threshold" if multi else "the class with the largest output"
    kind = "synthetic films (drawn phantoms, no patients)" if facts["synthetic"] else "films"
    chosen = f"; thresholds were chosen on {films['validation']} validation films" if multi else ""
    shown = ["auroc", "sensitivity", "specificity"] if multi else ["auroc", "sensitivity"]
    columns = ["label", *(["threshold (logit)"] if multi else []), *(TITLES[name] for name in shown)]
    use = (USE_OF_TEST_FILMS if multi else USE_WITHOUT_THRESHOLD)[facts.get("training_films_listed", False)]
    apart = "each patient is in one part" if facts["patients_known"] else "each film counts as a patient"
    lines = [
        f"# {facts['name']}: {facts['task']}, {len(names)} labels",
        "",
        f"Decides by {rule}. Figures are of {films['test']} test {kind}{chosen}; 95 % intervals, films as independent.",
        f"The test films were {use}; {apart}. Outputs are not calibrated: no probability is stated.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for label in names:
        row = facts["figures"]["by_label"][label]
        threshold = [f"{row['operating_point']['margin']:.3f}"] if multi else []
        cells = [_cell(label), *threshold, *(estimate(row["figures"][name]) for name in shown)]
        lines.append(f"| {' | '.join(cells)} |")
    if not multi:
        lines += ["", f"Accuracy {estimate(facts['figures']['accuracy'])}. Test films by class and decision:", ""]
        called = [[_cell(name), *map(str, row)] for name, row in zip(names, facts["figures"]["confusion"], strict=True)]
        lines += _align([["class", *(f"called {_cell(name)}" for name in names)], *called])
    lines += ["", *(f"![{picture}]({picture})" for picture in pictures)] if pictures else []
    return [*lines, "", facts["disclaimer"]]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
