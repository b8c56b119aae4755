"""Processes that ended without a word: what they last said of themselves is taken off the board."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

_LIVE = re.compile(r"gauge_live[a-z]+_(\d+)\.db")  # how prometheus_client names what holds for a living process


def forget_the_dead(folder: str) -> None:
    """Remove the live gauges of processes that are gone; their counters stay, since what was counted was."""
    found = (_LIVE.fullmatch(path.name) for path in Path(folder).glob("gauge_live*.db"))
    for pid in {int(match[1]) for match in found if match}:
        if not _lives(pid):
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user has that number now: rather keep a row than lose one
    return True
