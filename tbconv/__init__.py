"""tbconv: train in PyTorch, deploy in TensorFlow, prove that nothing changed.

>>> import tbconv
>>> tbconv.load("bundle").predict("film.png").decision  # doctest: +SKIP
'not_flagged'

Importing this loads no framework; each function loads the stage that it runs (docs/python-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tbconv.contract import __version__

if TYPE_CHECKING:
    from tbconv.api import (
        FilmLabels,
        Model,
        Reporter,
        Scorer,
        Screening,
        TbconvError,
        TrainedRun,
        compare,
        convert,
        convert_onnx,
        evaluate_at_site,
        load,
        page,
        prove,
        retune,
        score,
        train,
        verify,
        where,
    )

__all__ = [
    "FilmLabels",
    "Model",
    "Reporter",
    "Scorer",
    "Screening",
    "TbconvError",
    "TrainedRun",
    "__version__",
    "compare",
    "convert",
    "convert_onnx",
    "evaluate_at_site",
    "load",
    "page",
    "prove",
    "retune",
    "score",
    "train",
    "verify",
    "where",
]


def __getattr__(name: str) -> Any:
    """Import the API on first use (PEP 562): `import tbconv` itself costs a millisecond."""
    if name not in __all__:
        raise AttributeError(f"module 'tbconv' has no attribute {name!r}")
    from tbconv import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
