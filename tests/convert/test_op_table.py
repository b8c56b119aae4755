"""docs/ops.md is what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table():
    """What `python -m convert.formats.ops.table` prints."""
    command = [sys.executable, "-m", "convert.formats.ops.table"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_table_of_operations_is_the_one_that_the_code_writes(table):
    written = (REPOSITORY / "docs" / "ops.md").read_text()
    assert written == table, "write it again: python -m convert.formats.ops.table > docs/ops.md"


def test_the_table_has_the_operations_of_torchvisions_classifiers(table):
    needed = (
        "Conv BatchNormalization Relu Clip HardSwish HardSigmoid Sigmoid Mul Add MaxPool AveragePool GlobalAveragePool"
    )
    assert [op for op in [*needed.split(), "ReduceMean", "Concat", "Flatten", "Gemm"] if f"`{op}`" not in table] == []
