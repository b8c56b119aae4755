"""What a page without a server needs of how films are read and judged: terms and sentences, from their one place.

The engine in `client/` reads them out of the folder that `tbconv page` writes, so that each stands in one place.
"""

from __future__ import annotations

from typing import Any

from tbconv.contract.xray import MAX_PIXELS, film
from tbconv.contract.xray.reference import MIRRORED_LIMIT, GreyReference, kinds_of_numbers, unlike_limit

_BETWEEN = "|"  # stands in no sentence


def film_rules() -> dict[str, Any]:
    """Return what opening a film is bound to, and what is said of how it was opened; ready for JSON.

    `dicom` is null where pydicom is not installed: a page that was written there reads no DICOM, as this machine.
    """
    limits = {
        "child": film.CHILD_LIMIT,
        "burned_in": film.BURNED_IN_LIMIT,
        "turned": film.TURNED_LIMIT,
        "window": film.WINDOW_LIMIT,
        "window_off": film.WINDOW_OFF_LIMIT,
        "no_window": film.NO_WINDOW_LIMIT,
        "depth": film.DEPTH_LIMIT,
        "tint": film.TINT_LIMIT,
        "hidden": film.HIDDEN_LIMIT,
    }
    bounds = {"max_pixels": MAX_PIXELS, "max_decoded": film.MAX_DECODED, "child_years": film.CHILD_YEARS}
    return bounds | {"limits": limits, "dicom": _dicom_terms()}


def _dicom_terms() -> dict[str, Any] | None:
    try:
        from tbconv.contract.xray.dicom import dataset
    except ModuleNotFoundError as error:
        if error.name != "pydicom":
            raise
        return None
    return {
        "radiographs": sorted(dataset.RADIOGRAPHS),
        "lateral": sorted(dataset.LATERAL),
        "other_views": sorted(dataset.OTHER_VIEW),
        "other_parts": sorted(dataset.OTHER_PARTS),
        "lateral_words": dataset.LATERAL_WORDS.pattern,  # of Python's kind; a browser reads these alike
        "other_words": dataset.OTHER_WORDS.pattern,
        "raw_intent": dataset.RAW_INTENT,
    }


def reference_words(reference: GreyReference, *, network: str, threshold: float) -> dict[str, Any]:
    """Return what is said of a film beside the training films; ready for JSON.

    Args:
        reference: of the network.
        network: trained or baseline.
        threshold: of the operating point, in logits.
    """
    near = reference.near_limit(network, threshold, threshold)
    return {
        "kinds": list(kinds_of_numbers()),
        "unlike": unlike_limit((_BETWEEN,)).split(_BETWEEN),
        "mirrored": MIRRORED_LIMIT,
        "near": {"margin": reference.near_margin(network), "limit": near[0]} if near else None,
    }
