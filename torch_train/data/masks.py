"""Labels from masks of lesions, and the refusal to read lung fields as lesions.

A mask of the lungs is there for the healthy and the sick alike: "any white pixel" would call
every film positive. Lung fields give themselves away: nearly every film has them, as one or
two large regions that cover a good part of the film.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.labels import Labels
from tbconv.contract.xray import read_xray
from torch_train.data.adapters.metadata_csv import find_metadata, read_metadata_set
from torch_train.data.film import IMAGE_FOLDERS, Film, FilmIndex, find_folder, find_masks, list_films, some

# The lungs of openist's 275 masks cover 15-46 % of the film (median 29 %), in two regions each.
LUNG_SHARE = (0.10, 0.50)  # of the film, all regions together
LUNG_REGIONS = (1, 2)  # regions that hold more than a tenth of the mask: both lungs, or both in one
MOST_FILMS = 0.5  # above this share of films with lung-like masks, the set is one of lung fields
MARKED = 127  # a mask's grey value above this is marked; JPEG and resizing blur 0 and 255
COARSE_SIDE = 256  # pixels; large regions are counted at about this side, where it takes 2 ms and not 200
SPECK = 1e-5  # of the film; smaller areas are compression noise, not drawings (10 pixels of 1000 x 1000)


@dataclass(frozen=True, slots=True)
class MaskShape:
    """What a mask marks."""

    share: float  # of the film's area, 0..1
    large_regions: int  # connected regions that hold more than a tenth of what is marked

    @property
    def is_lung_like(self) -> bool:
        """Whether one or two large regions cover as much of the film as lungs do."""
        low, high = LUNG_SHARE
        return low <= self.share <= high and self.large_regions in LUNG_REGIONS

    @property
    def marks_something(self) -> bool:
        """Whether more than noise is marked."""
        return self.share > SPECK


def measure_mask(mask: NDArray[np.uint8]) -> MaskShape:
    """Measure what a mask marks.

    Args:
        mask: uint8 [H, W], marked where above 127.
    """
    from scipy import ndimage

    marked = mask > MARKED
    step = max(1, max(marked.shape) // COARSE_SIDE)
    regions, _ = ndimage.label(marked[::step, ::step])
    sizes = np.bincount(regions.ravel())[1:]
    return MaskShape(float(marked.mean()), int((sizes > 0.1 * sizes.sum()).sum()))


def labels_from_masks(root: Path) -> FilmIndex:
    """Label a film positive where its lesion mask marks anything.

    Args:
        root: a folder with `image/` and `mask/`; a MetaData.csv gives site, age and sex.

    Raises:
        DataError: no masks, films without one, masks that cannot be read, or masks of lung fields.
    """
    films, masks = _pair(root)
    shapes = {film.path: _read_shape(masks[film.path.stem]) for film in films}
    lung_like = sum(shape.is_lung_like for shape in shapes.values())
    if lung_like > MOST_FILMS * len(films):
        raise _lung_fields(root, lung_like, len(films))
    labelled = (
        replace(film, label=int(shapes[film.path].marks_something), mask=masks[film.path.stem]) for film in films
    )
    return FilmIndex(
        root=root,
        layout="films and lesion masks",
        labels=Labels("no lesion", "lesion"),
        films=tuple(labelled),
        patients_known=False,
        notes=("labels are from masks: a film is positive where its mask marks anything",),
        label_source="the lesion masks",
    )


def _pair(root: Path) -> tuple[list[Film], dict[str, Path]]:
    images, masks = find_folder(root, IMAGE_FOLDERS), find_masks(root)
    if images is None or not masks:
        raise DataError(
            f"{root} has no image/ and mask/ folders",
            why="--labels-from-masks reads mask/NAME.png for image/NAME.png",
            fix="leave the option away, or bring films and masks into these two folders",
        )
    known = {film.path: film for film in _known_films(root)}
    films = [known.get(path, Film(path, 0, path.name)) for path in list_films(images)]
    if bare := [film.path.name for film in films if film.path.stem not in masks]:
        raise DataError(
            f"{len(bare)} films have no mask: {some(bare)}",
            why="a missing mask may mean healthy or not drawn yet",
            fix="add a mask for each film, all black where there is no lesion",
        )
    return films, masks


def _known_films(root: Path) -> tuple[Film, ...]:
    index = read_metadata_set(root)
    return index.films if index else ()


def _read_shape(path: Path) -> MaskShape:
    try:
        return measure_mask(read_xray(path))
    except FilmError as error:
        raise DataError(f"the mask {path.name} cannot be read", why=error.one_line, fix=error.fix) from error


def _lung_fields(root: Path, lung_like: int, films: int) -> DataError:
    table = find_metadata(root)
    use = (
        f"use the column ptb of {table.name}: leave --labels-from-masks away"
        if table
        else ("sort the films into one folder a class, or add a MetaData.csv with the columns id and ptb")
    )
    return DataError(
        f"{lung_like} of {films} masks are lung fields, not lesions",
        why="one or two large regions cover 10-50 % of the film, of the healthy and the sick alike",
        fix=use,
    )
