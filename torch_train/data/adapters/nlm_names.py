"""The names of the National Library of Medicine: `CHNCXR_0001_0.png`, `MCUCXR_0001_1.png`.

The last digit is the label. A clinical reading (`CHNCXR_0001_0.txt`) gives age and sex
where it lies anywhere in the folder, as in the published archives.
"""

from __future__ import annotations

import re
from pathlib import Path

from tbconv.contract.labels import Labels
from torch_train.data.demographics import parse_age, parse_sex
from torch_train.data.film import Film, FilmIndex, find_masks, list_films, some

_NAME = re.compile(r"(CHNCXR|MCUCXR)_\d+_([01])$")
_SITES = {"CHNCXR": "Shenzhen", "MCUCXR": "Montgomery"}
_MASK_PLACES = ("ManualMask",)  # Montgomery's own folder of left and right lung masks
_READING_SEX = re.compile(r"\b(female|femal|male|f|m)\b", re.IGNORECASE)
_READING_AGE = re.compile(r"(?<!\w)(?:fe)?(?:male?)?\s*(\d+\s*(?:y|m|w|d)\w*)", re.IGNORECASE)


def read_nlm_set(root: Path) -> FilmIndex | None:
    """Read films whose names say site and label; None where most names are of another kind."""
    paths = [path for path in list_films(root) if not set(_MASK_PLACES) & set(path.parts)]
    named = [path for path in paths if _NAME.match(path.stem)]
    if not named or 2 * len(named) <= len(paths):
        return None
    other = [path.name for path in paths if not _NAME.match(path.stem)]
    readings = {path.stem: path for path in root.rglob("*CXR_*.txt")}
    masks = find_masks(root)
    return FilmIndex(
        root=root,
        layout="NLM names",
        labels=Labels("normal", "tuberculosis"),
        films=tuple(_film(path, readings.get(path.stem), masks.get(path.stem)) for path in named),
        patients_known=False,
        notes=(f"{len(other)} films have other names and are left out: {some(other)}",) if other else (),
        label_source="the last digit of the file names",
    )


def _film(path: Path, reading: Path | None, mask: Path | None) -> Film:
    found = _NAME.match(path.stem)
    if found is None:
        raise ValueError(f"{path.name} is no NLM name")
    text = reading.read_text(encoding="utf-8", errors="replace") if reading else ""
    sex, age = _READING_SEX.search(text), _READING_AGE.search(text)
    return Film(
        path,
        int(found[2]),
        path.name,
        site=_SITES[found[1]],
        age=parse_age(age[1]) if age else None,
        sex=parse_sex(sex[1]) if sex else None,
        mask=mask,
    )
