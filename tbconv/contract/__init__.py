"""What every stage agrees on, in stdlib, numpy and Pillow, and nothing else."""

import os
import sys

__version__ = "0.1.0"  # pyproject.toml reads it here


def module_path() -> list[str]:
    """Return `sys.path` without the working folder, a json.py of which would be run.

    It stays where this package itself lies in it, as in a checkout that is not installed. It stands here because it has
    to be asked before anything else is imported.
    """
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    try:
        here = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # it was removed: nothing can lie in it
        return list(sys.path)
    return [one for one in sys.path if ours == here or os.path.abspath(one) != here]  # noqa: PTH100
