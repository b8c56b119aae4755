"""The one place that takes times and memory addresses out of a `.keras` file, so that its bytes repeat.

Keras 3.15 writes three things into the zip that differ from process to process: the time of each
entry, the date in metadata.json, and, as `shared_object_id` in config.json, the memory address of
each object that several layers share (keras/src/saving/serialization_lib.py). Loading needs none
of them but the ids, and of those only which are equal.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from convert.repeat import timeless_entry
from tbconv.contract.errors import ConversionError

ENTRIES = ("metadata.json", "config.json", "model.weights.h5")  # what Keras 3 writes, in its order
SHARED = "shared_object_id"


def make_repeatable(path: Path) -> None:
    """Rewrite a `.keras` file in place: the same network gives the same bytes.

    Raises:
        ConversionError: it holds other entries than Keras 3.15 writes.
    """
    fresh = path.with_name(f"{path.name}.repeatable")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(fresh, "w") as new:
        if sorted(old.namelist()) != sorted(ENTRIES):
            raise ConversionError(
                f"{path.name} holds {', '.join(old.namelist())}",
                why=f"Keras 3.15 writes {', '.join(ENTRIES)}, and only these are known to repeat",
                fix="install the versions that were measured: pip install 'tbconv[convert]'",
            )
        for name in ENTRIES:
            _copy(old, new, name)
    fresh.replace(path)


def _copy(old: zipfile.ZipFile, new: zipfile.ZipFile, name: str) -> None:
    info = timeless_entry(name)
    info.file_size = old.getinfo(name).file_size  # so that zipfile need not reserve room for 64 bits
    if name.endswith(".json"):
        new.writestr(info, json.dumps(settle(json.loads(old.read(name)))))
        return
    with old.open(name) as source, new.open(info, "w") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def settle(value: Any, numbers: dict[int, int] | None = None) -> Any:
    """Return JSON without the date, and with shared objects numbered in the order of their appearance."""
    numbers = {} if numbers is None else numbers
    if isinstance(value, list):
        return [settle(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if key != "date_saved"}
    return {
        key: numbers.setdefault(item, len(numbers)) if key == SHARED else settle(item, numbers)
        for key, item in kept.items()
    }
