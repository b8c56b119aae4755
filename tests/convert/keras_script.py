"""A step that runs a script of this folder in the worker that has TensorFlow loaded: an import of it takes seconds."""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

FRAMEWORK = "tensorflow"


def run(request):
    """Run `script` with `words`; what it prints last is the response's `said`."""
    before, path = sys.argv, Path(__file__).with_name(request["script"])
    sys.argv = [str(path), *request["words"]]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
    return {"said": json.loads(said.getvalue().splitlines()[-1])}
