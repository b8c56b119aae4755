"""A runtime with a fault: what `convert.runners.elsewhere.run_litert` runs, but for what a second call gives.

It is run as a file in place of that script, with the fault's name in $RUNTIME_FAULT and the script's folder in
$RUNTIME_SCRIPT.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.environ["RUNTIME_SCRIPT"])

import run_litert  # type: ignore[import-not-found]

Outputs = dict[str, Any]


def second_call(answers: list[Outputs]) -> Outputs:
    """Give the first film's outputs for every film."""
    return answers[0]


def stale_buffer(answers: list[Outputs]) -> Outputs:
    """Give what was in the buffers before the call: the outputs of the film before."""
    return answers[max(0, len(answers) - 2)]


def zeros(answers: list[Outputs]) -> Outputs:
    """Give zeros from the second film on, as LiteRT.js 2.5 does with an open batch."""
    return answers[-1] if len(answers) == 1 else {name: value * 0 for name, value in answers[-1].items()}


def neighbours(answers: list[Outputs]) -> Outputs:
    """Give the logits in the other order: outputs found by their place."""
    return answers[-1] | {"logits": answers[-1]["logits"][:, ::-1]}


FAULTS: dict[str, Callable[[list[Outputs]], Outputs]] = {
    one.__name__: one for one in (second_call, stale_buffer, zeros, neighbours)
}


def faulty(path: str) -> Callable[[Any], Outputs]:
    """Open a file as the server does, and give its outputs with the fault."""
    run, change, answers = opened(path), FAULTS[os.environ["RUNTIME_FAULT"]], []

    def answer(film: Any) -> Outputs:
        answers.append(run(film))
        return change(answers)

    return answer


if __name__ == "__main__":
    opened = run_litert.open_interpreter
    run_litert.open_interpreter = faulty
    run_litert.main(sys.argv[1])
