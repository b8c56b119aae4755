"""The pytest plugin: `pytest --tbconv-bundle B` checks a bundle, the fixture `assert_parity` compares two models.

pytest loads it in every environment that has tbconv, so it imports nothing of tbconv, and no numpy, until an option or
a test asks for it. Bundles are checked, and files run, in other processes: no framework is loaded into the test's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from convert.parity.pair import PairReport

TAIL_LINES = 12  # of the command's output, shown when it ends without a result


class Row(NamedTuple):
    """One check's outcome, as JUnit names it."""

    kind: str  # passed, failure, error, skipped
    message: str


FOUND = pytest.StashKey[dict[Path, dict[str, Row]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("tbconv", "parity of models (docs/parity-in-ci.md)")
    group.addoption(
        "--tbconv-bundle",
        action="append",
        default=[],
        type=Path,
        metavar="BUNDLE",
        help="check a bundle as `tbconv verify` does, a test for each of its files; may be given several times",
    )
    group.addoption("--tbconv-films", type=Path, metavar="DIR", help="films to feed; default the golden inputs")
    group.addoption(
        "--tbconv-quick", action="store_true", help="digests and golden answers alone, as `tbconv verify --quick` does"
    )


@pytest.hookimpl(tryfirst=True)  # -k and -m choose among these, too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each file of each bundle."""
    for bundle in config.getoption("--tbconv-bundle"):
        items += _items(session, Path(os.path.abspath(config.invocation_params.dir / bundle)))  # noqa: PTH100 (links stay)


def _items(session: pytest.Session, bundle: Path) -> Iterator[pytest.Item]:
    place = Path(os.path.relpath(bundle, session.config.rootpath)).as_posix()
    for name in _names(bundle):
        made = BundleCheck.from_parent(session, name=name, nodeid=f"{place}::{name}", bundle=bundle)
        if session.config.pluginmanager.hasplugin("xdist"):
            made.add_marker(pytest.mark.xdist_group(f"tbconv {bundle}"))  # one worker measures it, with loadgroup
        yield made


def _names(bundle: Path) -> list[str]:
    from tbconv.commands.conversion.ci import WHOLE, names_of
    from tbconv.contract.bundle import read_bundle
    from tbconv.contract.errors import BundleError

    try:
        return names_of(read_bundle(bundle).manifest)
    except BundleError:
        return [WHOLE]  # which fails with the reason when it is run


class CheckError(Exception):
    """A check failed; its message is all that there is to see."""


class BundleCheck(pytest.Item):
    """One file of a bundle, or its digests; the bundle is measured once, when the first of them is run."""

    def __init__(self, *, bundle: Path, **given: Any) -> None:
        super().__init__(**given)
        self._bundle = bundle

    def runtest(self) -> None:
        """Fail, skip or pass as the bundle's verification says."""
        found = self.config.stash.setdefault(FOUND, {})
        if self._bundle not in found:
            found[self._bundle] = _verify(self._bundle, self.config)
        row = found[self._bundle].get(self.name, Row("skipped", "not run: --tbconv-quick runs TFLite files alone"))
        if row.kind == "skipped":
            pytest.skip(row.message)
        if row.kind != "passed":
            raise CheckError(f"{self.name}: {row.message}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the message alone: no line of anybody's code is at fault."""
        if isinstance(excinfo.value, CheckError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return what a report calls the test; not as its id ends, in which pytest would take dots for classes."""
        return self._bundle, None, f"{self.name} of {self._bundle.name}"


def _verify(bundle: Path, config: pytest.Config) -> dict[str, Row]:
    """Run `tbconv verify` in a process of its own and return its checks by name."""
    films = config.getoption("--tbconv-films")
    with tempfile.TemporaryDirectory(prefix="tbconv-pytest-") as folder:
        junit, words = Path(folder) / "junit.xml", ["verify", str(bundle), "--junit", str(Path(folder) / "junit.xml")]
        if config.getoption("--tbconv-quick"):
            words.append("--quick")
        else:
            words += ["--out", str(Path(folder) / "report")]
        if films is not None:
            words += ["--films", str(config.invocation_params.dir / films)]
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tbconv", *words],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if not junit.is_file():
            last = "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:])
            raise CheckError(f"tbconv {' '.join(words)} ended with {done.returncode}:\n{last}")
        cases = ElementTree.parse(junit).iter("testcase")  # noqa: S314  # written just now, by our own command
        return {case.attrib["name"]: _row(case) for case in cases}


def _row(case: ElementTree.Element) -> Row:
    for kind in ("failure", "error", "skipped"):
        if (found := case.find(kind)) is not None:
            return Row(kind, found.attrib.get("message", ""))
    return Row("passed", "")


@pytest.fixture(scope="session")
def assert_parity() -> Iterator[Callable[..., PairReport]]:
    """Return a function that fails where two models answer the same images differently.

    `assert_parity(model_a, model_b, images)` takes paths of ONNX, TFLite, SavedModel, Keras and TorchScript files,
    modules of PyTorch and Keras, and any callable; see `convert.parity.pair.assert_parity`.
    """
    from convert.parity.pair import assert_parity as compare
    from convert.worker import workers

    with workers():  # each framework is imported once a session
        yield compare
