"""Which of two class names is the positive one: asked for, or guessed from well-known names and said."""

from __future__ import annotations

import re
from collections.abc import Collection

from tbconv.contract.errors import ConfigError, DataError
from tbconv.contract.labels import Labels

# fmt: off
POSITIVE_WORDS = frozenset({
    "tuberculosis", "tb", "ptb", "pneumonia", "positive", "pos", "abnormal", "disease", "diseased", "sick", "covid",
    "cancer", "nodule", "lesion", "lesions", "opacity", "infected", "bacteria", "bacterial", "virus", "viral",
    "effusion", "pathology", "yes", "true", "1",
})
NEGATIVE_WORDS = frozenset({
    "normal", "normals", "negative", "neg", "healthy", "clear", "control", "controls", "no", "non", "not", "none",
    "false", "0",
})
# fmt: on


def choose_labels(names: Collection[str], positive: str | None, *, source: str) -> tuple[Labels, tuple[str, ...]]:
    """Decide which class is positive.

    Args:
        names: the class names that were found.
        positive: the name that the user gave, in any case; None to guess.
        source: where the names stand, for errors.

    Returns:
        The labels, and a note where they were guessed.

    Raises:
        DataError: one class only, more than two, or no well-known name among them.
        ConfigError: `positive` is none of the names.
    """
    _require_two(sorted(names), source)
    if positive is not None:
        return _asked(sorted(names), positive), ()
    kinds = {name: _kind(name) for name in sorted(names)}
    first, second = kinds
    if kinds[first] == kinds[second]:
        raise DataError(
            f"which of {first!r} and {second!r} is positive cannot be told",
            why=f"{source} have no well-known pair of names such as Normal and Tuberculosis",
            fix=f"say it: --positive {second!r} or --positive {first!r}",
        )
    labels = Labels(first, second) if kinds[first] < kinds[second] else Labels(second, first)
    return labels, (f"positive is {labels.positive!r}: guessed from the names, --positive says otherwise",)


def _kind(name: str) -> int:
    words = set(re.findall(r"[a-z]+|\d+", name.lower()))
    if words & NEGATIVE_WORDS:  # first, for "no tuberculosis"
        return -1
    return int(bool(words & POSITIVE_WORDS))


def _asked(names: list[str], positive: str) -> Labels:
    matches = [name for name in names if name == positive] or [n for n in names if n.lower() == positive.lower()]
    if len(matches) != 1:
        raise ConfigError(
            f"--positive {positive!r} is no class of this set",
            why=f"its classes are {names[0]!r} and {names[1]!r}",
            fix=f"--positive {names[0]!r} or --positive {names[1]!r}",
        )
    return Labels(next(name for name in names if name != matches[0]), matches[0])


def _require_two(names: list[str], source: str) -> None:
    if len(names) == 2:
        return
    if len(names) < 2:
        raise DataError(
            f"there is one class only: {names[0]!r}" if names else "there is no class",
            why=f"{source} name the classes, and a classifier needs two",
            fix="add films of the other class, in a folder or with a label of their own",
        )
    raise DataError(
        f"there are {len(names)} classes: {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}",
        why=f"{source} name the classes, and labels here are (negative, positive)",
        fix="merge or leave out classes until two remain",
    )
