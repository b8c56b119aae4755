"""The `tbconv` command: the table of commands, and the one place where errors become exit codes."""
# ruff: noqa: E402  (no import of ours may search the working folder, to which `python -m` and PYTHONPATH can lead)

from __future__ import annotations

import sys

from tbconv.contract import module_path

sys.path[:] = module_path()

import errno

import typer

from tbconv.commands import (
    adopt,
    audit,
    convert,
    data,
    doctor,
    evaluate,
    predict,
    prove,
    serve,
    show,
    sign,
    train,
    upgrade,
    verify,
)
from tbconv.console import print_error
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
    "ai_edge_litert": "serve",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "model_signing": "sign",
    "cryptography": "sign",
    "OpenSSL": "sign",
}

PURPOSE = "Train a chest X-ray classifier in PyTorch, ship it as TensorFlow, prove that nothing changed."

OLD_OPTIONS = {"wished-sensitivity": "target-sensitivity"}  # both are understood

app = typer.Typer(
    name="tbconv",
    context_settings={"token_normalize_func": lambda option: OLD_OPTIONS.get(option, option)},
    help=f"{PURPOSE}\n\n{DISCLAIMER}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("audit")(audit.audit)
app.command("evaluate")(evaluate.evaluate)
app.command("adopt")(adopt.adopt)
app.command("convert")(convert.convert)
app.command("verify")(verify.verify)
app.command("prove")(prove.prove)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("show")(show.show)
app.command("sign")(sign.sign)
app.command("upgrade")(upgrade.upgrade)
app.command("doctor")(doctor.doctor)


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
        print_error(_missing_package(error))
        sys.exit(1)
    except OSError as error:
        expected = _no_room(error) or _no_place(error)
        if expected is None:
            raise
        print_error(expected)
        sys.exit(1)


def _missing_package(error: ModuleNotFoundError) -> SetupError:
    package = (error.name or "").split(".")[0]
    if package not in EXTRA_OF:
        raise error
    return SetupError(
        f"the package {package} is not installed",
        why=f"this command needs the extra '{EXTRA_OF[package]}'",
        fix=f"pip install 'tbconv[{EXTRA_OF[package]}]'",
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
