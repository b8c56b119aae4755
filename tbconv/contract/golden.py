"""Golden inputs, of no patient, and the outputs of every format for them: as model inputs and as image files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tbconv.contract.bundle import Bundle
from tbconv.contract.errors import FilmError
from tbconv.contract.files import read_arrays
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import Prediction
from tbconv.contract.xray import decode_xray

# --- golden ---
# golden.npz: synthetic inputs, of no patient, and the outputs of every format for them.

GOLDEN = "golden.npz"
MOST_GOLDEN = 256  # inputs, each of which is run when a server opens a file; convert writes 16
REFERENCE = "PyTorch float32"  # followed by the network in brackets: the reference of every other runtime


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs by name, and the outputs of each runtime."""

    names: tuple[str, ...]
    model_inputs: NDArray[np.uint8]  # [M, 224, 224]
    answers: Mapping[str, Prediction]  # by the runtime's or file's name


def stored_inputs(arrays: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the model inputs of an .npz file; files that were written before name them `squares`."""
    found: NDArray[np.uint8] = arrays["squares" if "squares" in arrays else "model_inputs"]
    return found


def write_golden(path: Path, golden: Golden) -> None:
    """Write arrays without pickles."""
    arrays: dict[str, Any] = {"names": np.array(golden.names), "model_inputs": golden.model_inputs}
    for runtime, answer in golden.answers.items():
        for output in ("logits", "probability", "evidence"):
            array = getattr(answer, output)
            if array is not None:
                arrays[f"{runtime}|{output}"] = array
    np.savez_compressed(path, **dict(sorted(arrays.items())))  # in one order, so that it repeats


def read_golden(source: Path | bytes) -> Golden:
    """Read golden.npz, or what was read of it; ArtefactError if it is not one."""
    with read_arrays(source, "golden inputs", name=GOLDEN, ratio=0) as arrays:
        names, model_inputs = _texts(arrays["names"]), _films(stored_inputs(arrays))
        if len(model_inputs) > MOST_GOLDEN:
            raise ValueError(f"it holds {len(model_inputs):,} inputs, {MOST_GOLDEN} are the most")
        runtimes = {key.split("|")[0] for key in arrays if "|" in key}
        answers = {
            name: Prediction(arrays[f"{name}|logits"], arrays[f"{name}|probability"], arrays.get(f"{name}|evidence"))
            for name in runtimes
        }
        for name, answer in answers.items():
            _check_answer(name, answer, len(model_inputs))
        if len(names) != len(model_inputs):
            raise ValueError(f"{len(names)} names of {len(model_inputs)} inputs")
        return Golden(names, model_inputs, answers)


def _texts(array: NDArray[Any]) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise ValueError(f"names are {array.dtype} {array.shape}")
    return tuple(array.tolist())


def _films(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.ndim != 3 or array.dtype != np.uint8 or array.shape[1] != array.shape[2]:
        raise ValueError(f"model inputs are {array.dtype} {array.shape}, not uint8 [N, size, size]")
    return array


def _check_answer(name: str, answer: Prediction, films: int) -> None:
    evidence = answer.evidence
    shapes = answer.logits.shape == (films, 2) and answer.probability.shape == (films, 1)
    if evidence is not None:
        shapes = shapes and evidence.ndim == 3 and len(evidence) == films
    arrays = (answer.logits, answer.probability, *(() if evidence is None else (evidence,)))
    if not shapes or any(one.dtype.kind != "f" for one in arrays):
        raise ValueError(f"the answers of {name} are of another shape or kind")


# --- golden films ---
# golden_films.npz: films as the bytes of files, and the one check that begins where a client begins, at those bytes.
#
# Everything behind the model input is compared elsewhere; a client that resizes, scales or rotates a film in another
# way feeds the right network another film, and only this check sees it.

GOLDEN_FILMS = "golden_films.npz"
NOT_RECORDED = "the bundle records no golden films, so how films are opened was not checked"
# Grey levels. PNG is lossless and Pillow's resize is whole numbers: nothing may differ. Two JPEG decoders that keep
# to IEEE 1180-1990 (peak error of the inverse DCT: 1 level) differ by 2 at most, and averaging adds nothing:
# rounding is monotone, so what moves by whole levels at most stays within as many. (Measured between libjpeg-turbo's
# accurate and fast DCT on the two JPEG films: tests/tbconv/test_golden_films.py.)
PNG_LEVELS, JPEG_LEVELS = 0, 2
OpenFilm = Callable[[bytes], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class GoldenFilm:
    """One drawn film, of no patient: its file, and the model input that it must become."""

    name: str
    data: bytes  # a whole PNG or JPEG file
    model_input: NDArray[np.uint8]  # [size, size]
    levels: int  # grey levels that a pixel of the model input may differ by


def opener(spec: PreprocessSpec) -> OpenFilm:
    """Return the way that training, `predict` and the server open a film: bytes to uint8 [size, size]."""
    return lambda data: spec.from_bytes(data, name="a golden film")[0, ..., 0].astype(np.uint8)


def check_films(films: Bundle | Sequence[GoldenFilm], open_film: OpenFilm) -> list[str]:
    """Check how a client turns a file's bytes into the network's input.

    Args:
        films: golden films, or a bundle that records some.
        open_film: what is judged: the bytes of a PNG or JPEG to uint8 [size, size].

    Returns:
        One sentence for each film that came out differently: its name, how many pixels differ, by how many grey
        levels, and what that looks like (a hint: the nearest of the known faults). Empty where all agree; of a
        bundle without golden films, that nothing was checked.

    Raises:
        ArtefactError: the bundle's golden films are missing, altered or damaged.
    """
    if isinstance(films, Bundle):
        films = read_films_of_bundle(films)
    if not films:
        return [NOT_RECORDED]
    return [problem for film in films if (problem := _check(film, open_film)) is not None]


def _check(film: GoldenFilm, open_film: OpenFilm) -> str | None:
    try:
        model_input = np.asarray(open_film(film.data))
    except Exception as error:  # noqa: BLE001 (whose code this is, and what it raises, is not known here)
        raised = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        return f"{film.name}: cannot be opened, {raised}"
    if model_input.shape != film.model_input.shape or model_input.dtype != np.uint8:
        expected = list(film.model_input.shape)
        return f"{film.name}: becomes {model_input.dtype} {list(model_input.shape)}, not uint8 {expected}"
    apart = np.abs(model_input.astype(np.int16) - film.model_input)
    count = int((apart > film.levels).sum())
    if not count:
        return None
    moved = f"{count:,} of {apart.size:,} pixels differ, by up to {apart.max()} grey levels (allowed {film.levels})"
    return f"{film.name}: {moved}{_hint(film, model_input)}"


def _hint(film: GoldenFilm, model_input: Grey) -> str:
    """Say what a difference looks like: the recorded film, where a known fault makes it exactly, or else this one."""
    right = np.array_equal(film.model_input, _fit(decode_xray(film.data), len(film.model_input)))
    recorded = "" if right else nearest_fault(film.data, film.model_input, model_input, alike=0.0)
    if recorded:
        return f"; the recorded film looks {recorded}"
    hint = nearest_fault(film.data, model_input, film.model_input)
    return f"; it looks {hint}" if hint else ""


def records_films(bundle: Bundle) -> bool:
    """Return whether a bundle has golden films; those of earlier versions have none."""
    return GOLDEN_FILMS in bundle.manifest.files


def read_films_of_bundle(bundle: Bundle) -> tuple[GoldenFilm, ...]:
    """Return a bundle's golden films, none where it records none; ArtefactError where they are altered."""
    return read_golden_films(bundle.read(GOLDEN_FILMS)) if records_films(bundle) else ()


def write_golden_films(path: Path, films: Sequence[GoldenFilm]) -> None:
    """Write films as arrays without pickles; a file's bytes become uint8 [n]."""
    arrays: dict[str, Any] = {f"{film.name}|bytes": np.frombuffer(film.data, np.uint8) for film in films}
    arrays |= {f"{film.name}|square": film.model_input for film in films}
    names, levels = np.array([film.name for film in films]), np.array([film.levels for film in films], np.uint8)
    np.savez_compressed(path, names=names, levels=levels, **arrays)


def read_golden_films(source: Path | bytes) -> tuple[GoldenFilm, ...]:
    """Read golden_films.npz, or what was read of it; ArtefactError if it is not one."""
    with read_arrays(source, "golden films", name=GOLDEN_FILMS, ratio=0) as arrays:
        return tuple(
            GoldenFilm(name, arrays[f"{name}|bytes"].tobytes(), _films(arrays[f"{name}|square"][None])[0], levels)
            for name, levels in zip(_texts(arrays["names"]), arrays["levels"].astype(np.uint8).tolist(), strict=True)
        )


# --- film faults ---
# Known ways to decode a film wrongly: the one list, to name a fault and to prove that it is caught.
#
# Films are opened by `PreprocessSpec` alone.

Grey = NDArray[np.uint8]
ALIKE = 0.25  # a fault is named where it explains three quarters of the distance; a choice, since it is but a hint


def nearest_fault(data: bytes, model_input: Grey, true: Grey, *, alike: float = ALIKE) -> str:
    """Return the known fault that explains a wrong model input best: "resized with bicubic"; empty where none is near.

    Args:
        data: the film's file.
        model_input: what the client made of it, uint8 [size, size].
        true: what it should have made of it.
        alike: share of the distance that the fault may leave unexplained.
    """
    opened = {name: _try(way, data, true) for name, way in FAULTS.items()}
    apart = {name: _distance(model_input, one) for name, one in opened.items() if one is not None}
    if not apart:
        return ""
    nearest = min(apart, key=apart.__getitem__)
    return nearest if apart[nearest] <= alike * _distance(model_input, true) else ""


def _try(way: Callable[[bytes, int], Grey], data: bytes, true: Grey) -> Grey | None:
    try:
        opened = way(data, len(true))
    except (FilmError, OSError, ValueError):  # not every fault can be made of every file
        return None
    return None if np.array_equal(opened, true) else opened


def _distance(one: Grey, other: Grey) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean())


def _raw(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def _fit(pixels: Grey, size: int) -> Grey:
    return PreprocessSpec(size=size).model_input(np.ascontiguousarray(pixels))


def _pad(pixels: Grey, *, fill: int = 0, centre: bool = True) -> Image.Image:
    height, width = pixels.shape
    side = max(height, width)
    canvas = Image.new("L", (side, side), fill)
    canvas.paste(Image.fromarray(pixels), ((side - width) // 2, (side - height) // 2) if centre else (0, 0))
    return canvas


def _resized(resample: Image.Resampling, gap: float | None = None) -> Callable[[bytes, int], Grey]:
    return lambda data, size: np.asarray(_pad(decode_xray(data)).resize((size, size), resample, reducing_gap=gap))


def _not_antialiased(data: bytes, size: int) -> Grey:
    """Mix the four nearest pixels, however many lie between: what tf.image.resize and OpenCV do by default."""
    canvas = np.asarray(_pad(decode_xray(data)), np.float64)
    places = ((np.arange(size) + 0.5) * len(canvas) / size - 0.5).clip(0, len(canvas) - 1)
    low = np.floor(places).astype(np.int64)
    high, part = np.minimum(low + 1, len(canvas) - 1), places - low
    rows = canvas[low] * (1 - part[:, None]) + canvas[high] * part[:, None]
    return np.asarray(np.rint(rows[:, low] * (1 - part) + rows[:, high] * part), np.uint8)


def _in_floats(data: bytes, size: int) -> Grey:
    """Resize with the right filter, rounding once at the end: what torchvision and tf.image do when antialiased."""
    canvas = _pad(decode_xray(data)).convert("F")
    return np.asarray(np.rint(np.asarray(canvas.resize((size, size), Image.Resampling.BILINEAR))), np.uint8)


def _stretched(data: bytes, size: int) -> Grey:
    return np.asarray(Image.fromarray(decode_xray(data)).resize((size, size), Image.Resampling.BILINEAR))


def _cropped(data: bytes, size: int) -> Grey:
    image = Image.fromarray(decode_xray(data))
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))


def _padded(*, fill: int = 0, centre: bool = True) -> Callable[[bytes, int], Grey]:
    return lambda data, size: _fit(np.asarray(_pad(decode_xray(data), fill=fill, centre=centre)), size)


def _moved(move: Callable[[Grey], Grey]) -> Callable[[bytes, int], Grey]:
    return lambda data, size: np.ascontiguousarray(move(_fit(decode_xray(data), size)))


def _deep(scale: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[bytes, int], Grey]:
    def opened(data: bytes, size: int) -> Grey:
        image = _raw(data)
        if not image.mode.startswith("I"):
            raise ValueError(f"{image.mode} has 8 bits")
        return _fit(scale(np.asarray(image).astype(np.float64)).clip(0, 255).astype(np.uint8), size)

    return opened


def _of_mode(mode: str, change: Callable[[Image.Image], Image.Image]) -> Callable[[bytes, int], Grey]:
    def opened(data: bytes, size: int) -> Grey:
        image = _raw(data)
        if image.mode != mode:
            raise ValueError(f"{image.mode} is not {mode}")
        return _fit(np.asarray(change(ImageOps.exif_transpose(image)).convert("L")), size)

    return opened


def _not_turned(data: bytes, size: int) -> Grey:
    image = _raw(data)
    if not image.getexif():
        raise ValueError("it has no EXIF")
    return _fit(np.asarray(image.convert("L")), size)


def _on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)


def _mixed(mix: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray(np.rint(mix(np.asarray(image, np.float64))).astype(np.uint8))


FAULTS: dict[str, Callable[[bytes, int], Grey]] = {  # "it looks ..."
    "resized with bicubic": _resized(Image.Resampling.BICUBIC),
    "resized with Lanczos": _resized(Image.Resampling.LANCZOS),
    "resized with the nearest pixel": _resized(Image.Resampling.NEAREST),
    "resized with a box filter": _resized(Image.Resampling.BOX),
    "resized in two steps (reducing_gap)": _resized(Image.Resampling.BILINEAR, 1.0),
    "resized without antialiasing": _not_antialiased,
    "resized in floats instead of whole grey levels": _in_floats,
    "stretched instead of padded": _stretched,
    "cropped instead of padded": _cropped,
    "padded with white": _padded(fill=255),
    "padded at one side": _padded(centre=False),
    "inverted": _moved(lambda model_input: 255 - model_input),
    "transposed": _moved(np.transpose),
    "mirrored": _moved(lambda model_input: model_input[:, ::-1]),
    "upside down": _moved(lambda model_input: model_input[::-1]),
    "scaled from 16 bits, not from those in use": _deep(lambda values: np.rint(values * (255 / 65535))),
    "cut to the high byte of 16 bits": _deep(lambda values: values // 256),
    "clipped at 255": _deep(lambda values: values),
    "scaled by its own maximum": _deep(lambda values: np.rint(values * (255 / values.max()))),
    "stretched from its darkest to its brightest pixel": _deep(
        lambda values: np.rint((values - values.min()) * (255 / np.ptp(values)))
    ),
    "opened without its EXIF orientation": _not_turned,
    "opened with palette numbers as grey levels": _of_mode("P", lambda image: Image.fromarray(np.asarray(image))),
    "opened without its alpha": _of_mode("RGBA", lambda image: image.convert("RGB")),
    "opened on white instead of black": _of_mode("RGBA", _on_white),
    "grey by the mean of the colours": _of_mode("RGB", _mixed(lambda rgb: rgb.mean(axis=2))),
    "grey by red alone": _of_mode("RGB", _mixed(lambda rgb: rgb[..., 0])),
    "grey by Rec. 709 luma": _of_mode("RGB", _mixed(lambda rgb: rgb @ np.array([0.2126, 0.7152, 0.0722]))),
}
