"""What the TFLite files of a conversion need, and how far their numbers reach; in words: tbconv.report_kit.needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.parity.inputs import evenly
from convert.worker import run_step
from tbconv.contract.files import temporary_folder
from tbconv.report_kit.needs import Needs

FILMS = 32  # on which ranges are measured


def find_needs(
    files: Mapping[str, Path], groups: Sequence[Sequence[str]], films: NDArray[np.uint8]
) -> dict[str, Needs]:
    """Return what files need, by path.

    Args:
        files: every TFLite file.
        groups: which of the files compute the same in floating point; the first of each, the most exact, is measured.
        films: uint8 [N, S, S]; of these and all else that is fed at most 32, spread over them.
    """
    if not files:
        return {}
    stated = run_step("convert.formats.tflite.needs:read_all", {"files": [str(one) for one in files.values()]})
    found: dict[str, Needs] = {path: stated[str(place)] for path, place in files.items()}
    with temporary_folder("needs") as folder:
        images = folder / "films.npy"
        np.save(images, evenly(films, FILMS))
        for paths in filter(None, groups):
            request = {"artefact": str(files[paths[0]]), "images": str(images)}
            reached = run_step("convert.quantization.half:reach", request)
            for path in paths:
                found[path] = found[path] | {"float16": reached}
    return found
