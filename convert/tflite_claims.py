"""What the metadata flatbuffers of TFLite files claim, read in a process of its own: LiteRT's schema stays in there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.isolate import child_main
from convert.tflite_metadata import read_metadata
from tbconv.contract.errors import ArtefactError


def claims(request: dict[str, Any]) -> dict[str, Any]:
    """Read files.

    Args:
        request: files (paths).

    Returns:
        by path, the fields of the metadata (convert.metadata_schema), or why there are none as {"problem": ...}.
    """
    return {path: _claims(Path(path)) for path in request["files"]}


def _claims(path: Path) -> dict[str, Any]:
    try:
        return read_metadata(path)
    except ArtefactError as error:
        return {"problem": error.one_line}


if __name__ == "__main__":
    child_main(claims)
