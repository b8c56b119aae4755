"""Pillow and pydicom, kept from talking about other people's files: their warnings quote values, and never end.

What they warn of is settled by what the film decodes to. A server would write a line, and remember it, for each
damaged tag that anybody sends.
"""

from __future__ import annotations

import logging
import warnings

_PACKAGES = ("PIL", "pydicom")
_MODULES = r"(PIL|pydicom)\b"


def quieten() -> None:
    """Silence both; asked before each film, for filters and levels are process-wide and others reset them."""
    # added only where it is not there: threads that add it side by side would make the list longer and longer
    if _MODULES not in {getattr(entry[3], "pattern", None) for entry in warnings.filters}:
        warnings.filterwarnings("ignore", module=_MODULES)
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(logging.CRITICAL + 1)
