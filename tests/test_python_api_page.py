"""docs/python-api.md: its examples run as they are printed, one after the other, on drawn films."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRAW = """
import sys
from pathlib import Path
import draw_foreign, onnx
from tbconv.cli import app
onnx.save(dict(draw_foreign.right())["grey"], "classifier.onnx")
app(["data", "phantom", "films", "--n", "40"])
"""


def run_in(folder, code, path=""):
    """Run code in a folder as a user of the package would."""
    program = f"import sys; sys.path.insert(1, {path!r})\n{code}" if path else code
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_examples_run_in_the_order_of_the_page(tmp_path):
    run_in(tmp_path, DRAW, path=str(ROOT / "tests" / "convert"))
    examples = BLOCK.findall((ROOT / "docs" / "python-api.md").read_text(encoding="utf-8"))
    assert len(examples) == 4
    run_in(tmp_path, "\n".join(examples))
    assert {"bundle", "bundle.verify", "converted", "run"} <= {path.name for path in tmp_path.iterdir()}
