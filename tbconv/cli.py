"""The `tbconv` command: the table of commands, and the one place where errors become exit codes."""
# ruff: noqa: E402  (no import of ours may search the working folder, to which `python -m` and PYTHONPATH can lead)

from __future__ import annotations

import sys

from tbconv.contract import module_path

sys.path[:] = module_path()

import errno
import platform
from collections.abc import Sequence
from typing import Annotated

import typer

from tbconv import usage
from tbconv.commands import doctor
from tbconv.commands.bundles import push, retune, show, sign, upgrade
from tbconv.commands.conversion import compare, convert, prove, verify
from tbconv.commands.serving import page, predict, receipt, score, serve
from tbconv.commands.training import adopt, audit, data, evaluate, train
from tbconv.console import print_error, print_out
from tbconv.contract import __version__
from tbconv.contract.errors import DISCLAIMER, SetupError, TbconvError

EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "sklearn": "train",
    "scipy": "train",
    "matplotlib": "train",
    "safetensors": "train",
    "imagehash": "train",
    "tensorflow": "convert",
    "keras": "convert",
    "onnx": "convert",
    "onnxruntime": "convert",
    "onnx2tf": "convert",
    "flatbuffers": "tflite",
    "jinja2": "train",
    "openpyxl": "train",
    "pydicom": "dicom",
    "imagecodecs": "dicom",
    "ai_edge_litert": "serve",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "grpc": "grpc",
    "google": "grpc",
    "model_signing": "sign",
    "cryptography": "sign",
    "OpenSSL": "sign",
    "huggingface_hub": "hub",
    "highdicom": "hospital",
    "fhir": "hospital",
    "pyarrow": "score",
    "fsspec": "score",
}

NEEDS_CONVERT = ("convert", "verify", "prove", "compare", "retune")  # commands that meet PyTorch and TensorFlow
PART_OF_CONVERT = ("serve", "train", "dicom", "tflite")  # extras that the extra `convert` brings

PURPOSE = "Train a chest X-ray classifier in PyTorch, ship it as TensorFlow, prove that nothing changed."

OLD_OPTIONS = {"wished-sensitivity": "target-sensitivity"}  # both are understood

app = typer.Typer(
    name="tbconv",
    cls=usage.Group,
    context_settings={
        "token_normalize_func": lambda option: OLD_OPTIONS.get(option, option),
        "help_option_names": ["-h", "--help"],
    },
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_out(f"tbconv {__version__} (Python {platform.python_version()})")
        raise typer.Exit


@app.callback(help=f"{PURPOSE}\n\n{DISCLAIMER}")
def _root(
    version: Annotated[  # its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.add_typer(data.app, name="data", cls=usage.Group)
app.command("train")(train.train)
app.command("audit")(audit.audit)
app.command("evaluate")(evaluate.evaluate)
app.command("adopt")(adopt.adopt)
app.command("convert")(convert.convert)
app.command("retune")(retune.retune)
app.command("verify")(verify.verify)
app.command("compare")(compare.compare)
app.command("prove")(prove.prove)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("serve")(serve.serve)
app.command("page")(page.page)
app.command("show")(show.show)
app.command("push")(push.push)
app.command("receipt")(receipt.receipt)
app.command("sign")(sign.sign)
app.command("upgrade")(upgrade.upgrade)
app.command("doctor")(doctor.doctor)
for _info in (*app.registered_commands, *data.app.registered_commands):
    if _info.callback is not None:
        _info.cls, _info.callback = usage.Command, usage.with_volume(_info.callback)


NEWER = 0x030C0000  # Python 3.12, in which all but serving is written


def main() -> None:
    """Run the command.

    Exit 0 done, 1 an expected error or a failed verdict, 2 wrong usage, 3 CANNOT SAY, 130 interrupted.
    """
    try:
        app()
    except TbconvError as error:
        print_error(error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        print_error(_missing_package(error, sys.argv[1:]))
        sys.exit(1)
    except SyntaxError:
        if sys.hexversion >= NEWER:  # in a version that mypy does not work out: the other branch is no dead one
            raise
        print_error(_older_python())
        sys.exit(1)
    except OSError as error:
        expected = _no_room(error) or _no_place(error)
        if expected is None:
            raise
        print_error(expected)
        sys.exit(1)


def _missing_package(error: ModuleNotFoundError, words: Sequence[str]) -> SetupError:
    """Name the extra that has the package, and all that the command will ask for next."""
    package, command = (error.name or "").split(".")[0], words[0] if words else ""
    if package not in EXTRA_OF:
        raise error
    extra = EXTRA_OF[package]
    if extra in PART_OF_CONVERT and command in NEEDS_CONVERT and "--quick" not in words:
        extra = "convert"
    fix = f"pip install 'tbconv[{extra}]'"
    if command == "verify" and extra == "convert":
        bundle = next((word for word in words[1:] if not word.startswith("-")), "BUNDLE")
        fix += f", or with serving's packages alone: tbconv verify {bundle} --quick"
    return SetupError(f"the package {package} is not installed", why=f"this command needs the extra '{extra}'", fix=fix)


def _older_python() -> SetupError:
    return SetupError(
        "this command needs Python 3.12",
        why=f"this is {sys.version.split()[0]}, which serves, predicts and shows bundles",
        fix="install tbconv under Python 3.12",
    )


def _no_room(error: OSError) -> SetupError | None:
    from tbconv.contract.files import disk_refusal

    return disk_refusal(error)


def _no_place(error: OSError) -> SetupError | None:
    """State a path that cannot be made: a file on the way, a folder where a file should be, a name too long."""
    kinds = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG)
    if error.errno not in kinds or error.filename is None:
        return None
    return SetupError(
        f"cannot make or open {error.filename}",
        why=error.strerror or str(error),
        fix="check the paths that were given: a file is in the way, a folder is missing or a name is too long",
    )
