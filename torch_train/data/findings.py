"""From findings to two classes: which films are positive, which negative, and which are left out, all of it said."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from tbconv.contract.errors import ConfigError, DataError, some
from tbconv.contract.manifest import Labels
from torch_train.data.records import choose_labels
from torch_train.data.tables import key_of

MOST_CLASSES = 40  # findings of a set; PadChest's 174 have a name for none of them
Uncertain = Literal["leave-out", "positive", "negative"]
HEALTHY = ("nofinding", "nofindings", "normal", "healthy", "health")
ANY = "any finding"
# CheXpert's own rule: a film with devices and nothing else has No Finding (Irvin 2019, section 3).
NO_DISEASE = frozenset({"supportdevices"})
# Names that say that a label is no finding of its own: the film is unfit, or unlike an earlier one (PadChest).
NO_LABEL = frozenset({"exclude", "unchanged", "suboptimalstudy"})


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """What the user wants to tell apart; all None takes what the set itself is for."""

    positive: str | None = None  # of two classes
    label: str | None = None  # a finding: films with it are positive
    negative: str | None = None  # a finding: films with it and without `label` are negative, others left out
    uncertain: Uncertain = "leave-out"

    def __post_init__(self) -> None:
        if self.uncertain not in get_args(Uncertain):
            why = f"known are {', '.join(get_args(Uncertain))}"
            raise ConfigError(f"--uncertain is {self.uncertain!r}", why=why, fix="--uncertain leave-out")
        if self.label is not None and self.positive is not None and key_of(self.label) != key_of(self.positive):
            why = "both name the positive class"
            raise ConfigError(f"--label {self.label!r} with --positive {self.positive!r}", why=why, fix="omit one")

    @property
    def given(self) -> bool:
        """Whether a finding was named."""
        return self.label is not None or self.negative is not None

    @property
    def names_positive(self) -> bool:
        """Whether the user said which class is positive."""
        return self.label is not None or self.positive is not None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a table or a folder says of one film."""

    path: Path
    present: frozenset[str]  # findings; empty: the film is read, and none of them is named
    uncertain: frozenset[str] = frozenset()
    patient: str | None = None
    site: str | None = None
    age: float | None = None  # years
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The films of both classes."""

    labels: Labels
    readings: tuple[tuple[Reading, int], ...]  # 1 positive
    notes: tuple[str, ...]


def choose_classes(
    readings: Sequence[Reading],
    choice: LabelChoice,
    *,
    source: str,
    label: str | None = None,
    against: str | None = None,
    published: bool = False,
) -> Chosen:
    """Decide which films are positive and which negative.

    Args:
        readings: what is said of each film.
        choice: what the user wants.
        source: where the names come from, for errors.
        label: the finding that a published set is for; None: any finding against none.
        against: the name of its negative class.
        published: whether the set is one whose names are known; of others, more than two classes need `choice`.

    Raises:
        ConfigError: a name that is none of the set's.
        DataError: one class only, or several and no choice.
    """
    readings = _one_spelling(readings)
    vocabulary = count_findings(readings)
    if choice.given or (choice.positive is not None and len(vocabulary) != 2):
        wanted = choice.label if choice.label is not None else choice.positive
        return _by_name(readings, choice, wanted, vocabulary, source)
    if published and label is not None:
        return _against(readings, choice, find_finding(label, vocabulary, "--label"), None, against, vocabulary, source)
    healthy = healthy_name(vocabulary)
    if published and healthy is not None:
        return _any_finding(readings, choice, healthy, vocabulary)
    alone = all(len(one.present | one.uncertain) == 1 for one in readings)
    if alone and len(vocabulary) <= 2:
        names, notes = choose_labels(vocabulary, choice.positive, source=source)
        whole = LabelChoice(label=names.positive, negative=names.negative, uncertain=choice.uncertain)
        chosen = _by_name(readings, whole, names.positive, vocabulary, source)
        return Chosen(names, chosen.readings, (*notes, *chosen.notes[1:]))  # the first says what the names say
    raise _several(vocabulary, healthy, source)


def _one_spelling(readings: Sequence[Reading]) -> list[Reading]:
    """Return readings in which `Normal`, `normal` and `NORMAL` are one finding, as it is written most often."""
    often = Counter(name for one in readings for name in one.present | one.uncertain)
    spelling: dict[str, str] = {}
    for name, _ in sorted(often.items(), key=lambda item: (-item[1], item[0])):
        spelling.setdefault(key_of(name) or name, name)
    if len(spelling) == len(often):
        return list(readings)
    of = {name: spelling[key_of(name) or name] for name in often}
    return [
        replace(one, present=frozenset(of[n] for n in one.present), uncertain=frozenset(of[n] for n in one.uncertain))
        for one in readings
    ]


def count_findings(readings: Iterable[Reading]) -> dict[str, int]:
    """Return how many films have each finding, the most frequent first."""
    counts = Counter(name for one in readings for name in one.present)
    for one in readings:
        counts.update(dict.fromkeys(one.uncertain - set(counts), 0))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def healthy_name(vocabulary: Iterable[str]) -> str | None:
    """Return the name that says that nothing was found."""
    by_key = {key_of(name): name for name in vocabulary}
    return next((by_key[key] for key in HEALTHY if key in by_key), None)


def find_finding(wanted: str, vocabulary: Mapping[str, int], option: str) -> str:
    """Return the finding of this name, in any case, with or without signs.

    Raises:
        ConfigError: there is none; the nearest names are proposed.
    """
    by_key = {key_of(name): name for name in vocabulary}
    found = wanted if wanted in vocabulary else by_key.get(key_of(wanted))
    if found is None:
        fit = {key: by_key[key] for key in by_key if option == "--negative" or key not in HEALTHY} or by_key
        near = difflib.get_close_matches(key_of(wanted), fit, 3, 0.4) or list(fit)
        proposals = " or ".join(f'{option} "{by_key[key]}"' for key in near[:3])
        why = f"they are {some([f'{name} ({count})' for name, count in vocabulary.items()], 20)}"
        raise ConfigError(f"{option} {wanted!r} is no finding of this set", why=why, fix=proposals)
    return found


def _has(wanted: str, vocabulary: Iterable[str]) -> bool:
    return key_of(wanted) in map(key_of, vocabulary)


def _by_name(
    readings: Sequence[Reading], choice: LabelChoice, wanted: str | None, vocabulary: dict[str, int], source: str
) -> Chosen:
    negative = None if choice.negative is None else find_finding(choice.negative, vocabulary, "--negative")
    if key_of(wanted or ANY) == key_of(ANY) and not _has(ANY, vocabulary):
        healthy = negative or healthy_name(vocabulary)
        if healthy is not None:
            return _any_finding(readings, choice, healthy, vocabulary)
    label = find_finding(str(wanted), vocabulary, "--label" if choice.label is not None else "--positive")
    if label == negative:
        why = "a film cannot be of both classes"
        raise ConfigError(f"--label and --negative are both {label!r}", why=why, fix="omit --negative")
    return _against(readings, choice, label, negative, None, vocabulary, source)


def _against(
    readings: Sequence[Reading],
    choice: LabelChoice,
    label: str,
    negative: str | None,
    against: str | None,
    vocabulary: dict[str, int],
    source: str,
) -> Chosen:
    kept: list[tuple[Reading, int]] = []
    uncertain, unlike, no_label = 0, 0, 0
    for one in readings:
        if not (one.present | one.uncertain) - _named(vocabulary, NO_LABEL) and one.present | one.uncertain:
            no_label += 1
        elif label in one.present:
            kept.append((one, 1))
        elif label in one.uncertain:
            uncertain += 1
            if choice.uncertain != "leave-out":
                kept.append((one, int(choice.uncertain == "positive")))
        elif negative is None or negative in one.present:
            kept.append((one, 0))
        else:
            unlike += 1
    others = [name for name in vocabulary if name != label]
    rest = against or (others[0] if len(others) == 1 else f"no {label}")
    notes = [f"positive is {label!r}, negative {negative!r}" if negative else _all_others(label, others, source)]
    if unlike:
        notes.append(f"{unlike} films have neither {label!r} nor {negative!r} and are left out")
    notes += _uncertain_note(uncertain, choice, repr(label)) + _no_label_note(no_label)
    return Chosen(Labels(negative or rest, label), tuple(kept), tuple(notes))


def _all_others(label: str, others: Sequence[str], source: str) -> str:
    healthy = healthy_name(others)
    proposal = f'; --negative "{healthy}" leaves films with other findings out' if healthy and len(others) > 1 else ""
    return f"positive is {label!r}, negative every other film by {source}{proposal}"


def _any_finding(readings: Sequence[Reading], choice: LabelChoice, healthy: str, vocabulary: dict[str, int]) -> Chosen:
    kept: list[tuple[Reading, int]] = []
    uncertain = unsaid = no_label = 0
    aside = _named(vocabulary, NO_DISEASE | NO_LABEL)
    for one in readings:
        found, maybe = one.present - aside - {healthy}, one.uncertain - aside - {healthy}
        if found:
            kept.append((one, 1))
        elif healthy in one.present:
            kept.append((one, 0))
        elif maybe or healthy in one.uncertain:
            uncertain += 1
            if choice.uncertain != "leave-out":
                kept.append((one, int((choice.uncertain == "positive") == bool(maybe))))
        elif one.present & _named(vocabulary, NO_LABEL):
            no_label += 1
        else:
            unsaid += 1
    names = [name for name in vocabulary if name not in (healthy, *aside)]
    notes = [
        f"negative is {healthy!r}, positive {ANY} ({some([f'{name} {vocabulary[name]}' for name in names], 6)}); "
        f'--label "{names[0]}" takes one'
        if names
        else f"negative is {healthy!r}"
    ]
    if unsaid:
        notes.append(f"{unsaid} films have neither {healthy!r} nor a finding and are left out")
    notes += _uncertain_note(uncertain, choice, "a finding") + _no_label_note(no_label)
    return Chosen(Labels(healthy, ANY), tuple(kept), tuple(notes))


def _named(vocabulary: Iterable[str], keys: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in vocabulary if key_of(name) in keys)


def _uncertain_note(count: int, choice: LabelChoice, what: str) -> list[str]:
    fate = "left out" if choice.uncertain == "leave-out" else f"counted as {choice.uncertain}"
    other = "; --uncertain positive or negative counts them" if choice.uncertain == "leave-out" else ""
    return [f"{count} films are uncertain of {what} and are {fate} (--uncertain {choice.uncertain}){other}"] * (
        count > 0
    )


def _no_label_note(count: int) -> list[str]:
    return [f"{count} films are marked as unfit or unchanged, without a finding, and are left out"] * (count > 0)


def _several(vocabulary: dict[str, int], healthy: str | None, source: str) -> DataError:
    names = [name for name in vocabulary if name != healthy]
    if len(names) > MOST_CLASSES and not healthy:  # names of people, studies or wards: none of them is proposed
        why = f"{source} name the classes, and they look like patients or batches rather than findings"
        fix = "write a table file,label, or sort the films into one folder a class"
        return DataError(f"there are {len(vocabulary)} classes", why=why, fix=fix)
    negative = f' --negative "{healthy}"' if healthy else ""
    return DataError(
        f"there are {len(vocabulary)} classes: {some([f'{name} ({count})' for name, count in vocabulary.items()], 6)}",
        why=f"{source} name the classes, and labels here are (negative, positive)",
        fix=f'--label "{names[0]}"{negative}, or another of these names' if names else "add films of other findings",
    )
