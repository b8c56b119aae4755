"""The project's own rules: which way arrows point, and who loads what."""

import ast
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tbconv", "torch_train", "convert", "tf_serve")
CONVERTERS = ["torch", "torchvision", "tensorflow", "keras", "onnx", "onnxruntime", "onnx2tf", "ai_edge_litert"]
# One framework a process: the modules of these folders load it; everything else in `convert` is imported without any.
STARTS_A_FRAMEWORK = (
    "convert.formats.",
    "convert.quantization.",
    "convert.runners.",
    "convert.layerwise.readers.",
    "convert.proof.readers.",
    "convert.proof.step",
)
MOST_ENTRIES = 12  # of a folder: what a reader takes in at a glance
OPEN_ENDED = {"tf_serve/server/routes"}  # one entry a family of addresses
# What a conversion needs of training is imported by the processes that orchestrate.
OF_TRAINING = ["torch_train.metrics", "torch_train.run_folder", "torch_train.data.index", "torch_train.data.loading"]
BLOCKED = """
import importlib, pkgutil, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocker())
for module in {modules!r}:
    importlib.import_module(module)
"""
EVERY_MODULE_OF = """
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def run_blocked(blocked, modules, more=""):
    done = run(sys.executable, "-c", BLOCKED.format(blocked=blocked, modules=modules) + more)
    return done.returncode, done.stderr[-2000:]


def sources():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_contracts_of_import_linter_are_kept():
    done = run(Path(sysconfig.get_path("scripts")) / "lint-imports", "--no-cache")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " 0 broken" in done.stdout


def test_the_blocker_of_these_tests_blocks():
    code, said = run_blocked(["torch"], ["torch"])
    assert (code, "torch is blocked" in said) == (1, True)


def test_what_orchestrates_a_conversion_loads_no_framework():
    files = (path.relative_to(ROOT) for path in (ROOT / "convert").rglob("*.py") if path.name != "__init__.py")
    modules = sorted(".".join(path.with_suffix("").parts) for path in files)
    orchestrating = [name for name in modules if not name.startswith(STARTS_A_FRAMEWORK)]
    assert len(orchestrating) > 20
    assert run_blocked(CONVERTERS, [*orchestrating, *OF_TRAINING]) == (0, "")


STEP = re.compile(r'"((?:convert|benchmarks)\.[\w.]+):(\w+)"')  # as `run_step` takes it
FRAMEWORK = re.compile(r'^FRAMEWORK = "(\w+)"$', re.MULTILINE)
IMPORTED = re.compile(r"^ *(?:import|from) ([\w]+)", re.MULTILINE)
EXCLUDES = {
    "torch": {"tensorflow", "keras", "onnxruntime", "ai_edge_litert"},
    "tensorflow": {"torch", "torchvision", "onnxruntime"},
    "litert": {"torch", "torchvision", "tensorflow", "keras"},
}
FOREIGN = {"convert.formats.onnx_to_onnx2tf"}  # it starts a program of others, in a process of its own


def test_every_step_is_there_and_its_module_names_one_framework_and_imports_no_other():
    steps = {found for path in sources() for found in STEP.findall(path.read_text())}
    assert len(steps) > 15
    for module, function in steps:
        text = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert re.search(rf"^def {function}\(request", text, re.MULTILINE), f"{module}:{function}"
        named = FRAMEWORK.search(text)
        assert (named is None) == (module in FOREIGN), module
        assert named is None or not EXCLUDES[named[1]] & set(IMPORTED.findall(text)), module


def test_reading_a_data_set_loads_no_framework():
    assert run_blocked(CONVERTERS, [], EVERY_MODULE_OF.format(package="torch_train.data")) == (0, "")


def test_training_loads_no_conversion_framework():
    """Looks at what is loaded instead of blocking: torch itself asks whether onnx is there."""
    others = [name for name in CONVERTERS if not name.startswith("torch")]
    loaded = f"sys.exit(' '.join(set({others!r}) & set(sys.modules)) or 0)"
    assert run_blocked([], [], EVERY_MODULE_OF.format(package="torch_train") + loaded) == (0, "")


def test_commands_load_no_stage_before_they_are_called():
    """But for the table of backbones: it is data, and `--help` prints its names."""
    table = {"torch_train", "torch_train.model", "torch_train.model.backbones"}
    loaded = f"sys.exit(' '.join({{one for one in sys.modules if one.startswith('torch_train')}} - {table!r}) or 0)"
    assert run_blocked([*CONVERTERS, "convert", "tf_serve", "numpy"], ["tbconv.cli"], loaded) == (0, "")


def test_every_module_opens_with_one_sentence():
    without = [path for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [str(path.relative_to(ROOT)) for path in without] == []


def test_a_folder_has_at_most_twelve_entries():
    entries = {}
    for path in sources():
        entries.setdefault(path.parent, set()).add(path.name)
        if path.parent.parent != ROOT:
            entries.setdefault(path.parent.parent, set()).add(path.parent.name)
    counts = {str(folder.relative_to(ROOT)): len(found - {"__init__.py"}) for folder, found in entries.items()}
    assert {folder: n for folder, n in counts.items() if n > MOST_ENTRIES and folder not in OPEN_ENDED} == {}


def test_no_class_name_is_defined_twice_in_a_package():
    places = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                name = (path.relative_to(ROOT).parts[0], node.name)
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_importing_the_package_loads_nothing_but_itself():
    loaded = (
        "import tbconv\nsys.exit(' '.join(set(sys.modules) & {'numpy', 'PIL', 'rich', 'typer', 'tbconv.api'}) or 0)"
    )
    assert run_blocked([*CONVERTERS, "torch_train", "convert", "tf_serve", "numpy", "PIL"], [], loaded) == (0, "")


THE_DECISION = "tbconv/contract/statistics.py"
LIKENESS = {"tf_serve/gate/rules.py", "benchmarks/gate.py"}  # of a picture to a film: no margin
THRESHOLD = re.compile(r"threshold|point\.margin")


def comparisons_with_a_threshold(tree):
    """Yield where something is ordered against a threshold: `x >= threshold`, `rule.threshold < x`, and so on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators) if not isinstance(side, ast.Call)]
            if any(THRESHOLD.search(side) for side in sides):
                yield f"{node.lineno}: {ast.unparse(node)}"


def test_one_place_decides_whether_a_margin_is_positive():
    places = [*sources(), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    names = {str(path.relative_to(ROOT)): path for path in places}
    found = [
        f"{name}:{one}"
        for name, path in names.items()
        if name not in LIKENESS | {THE_DECISION}
        for one in comparisons_with_a_threshold(ast.parse(path.read_text()))
    ]
    assert found == [], "compare margins with tbconv.contract.statistics.is_positive"


@pytest.mark.parametrize("one", ["threshold", "rule.threshold", "thresholds[0]", "rule.operating_point.margin"])
def test_a_second_decision_is_found_in_each_spelling(one):
    for line in (f"margins >= {one}", f"margins[:, None] < {one}", f"{one} <= margin"):
        assert list(comparisons_with_a_threshold(ast.parse(line)))
    assert not list(comparisons_with_a_threshold(ast.parse(f"abs(margin - {one}) <= band")))
