"""What is fed, in one order that everything relies on: films, golden inputs, probes near the threshold."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.parity.runtimes import Runtime
from convert.runners.base import Answer
from convert.worker import run_step
from tbconv.contract.bundle import read_bundle, read_json
from tbconv.contract.errors import ConfigError, DataError, FilmError, Reporter, SetupError
from tbconv.contract.files import sha256_bytes
from tbconv.contract.golden import JPEG_LEVELS, PNG_LEVELS, GoldenFilm, check_films, opener
from tbconv.contract.manifest import Labels
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import Prediction
from tbconv.contract.xray import decode_xray, read_bytes
from tbconv.contract.xray.folder import walk_films, words_of
from torch_train.data.findings import LabelChoice
from torch_train.data.loading import FilmIdentity
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import FilmIndex
from torch_train.run_folder import SPLIT

SAMPLE = 32  # films that built-in kernels answer: they take four times as long


def _no_probes() -> NDArray[np.uint8]:
    return np.zeros((0, 224, 224), np.uint8)


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Films that decisions are counted on, golden inputs that values are compared on, probes that may flip."""

    description: str  # "512 held-out films of the run"
    films: NDArray[np.uint8]  # [N, 224, 224]; may be empty
    labels: NDArray[np.int64] | None  # [N], 1 positive
    golden: NDArray[np.uint8]  # [M, 224, 224]; may be empty
    golden_names: tuple[str, ...] = ()
    probes: NDArray[np.uint8] = field(default_factory=_no_probes)  # [P, 224, 224]; near the threshold

    @property
    def together(self) -> NDArray[np.uint8]:
        """Films first, golden inputs behind them, probes last."""
        return np.concatenate([self.films, self.golden, self.probes])

    @property
    def count(self) -> int:
        """How many inputs there are together."""
        return len(self.films) + len(self.golden) + len(self.probes)

    @property
    def sample(self) -> NDArray[np.int64]:
        """Rows of `together` that slow runtimes are run on: 32 films evenly spread, every golden input and probe."""
        films = evenly(np.arange(len(self.films)), SAMPLE)
        return np.concatenate([films, np.arange(len(self.films), self.count)])


def evenly[Rows: np.generic](rows: NDArray[Rows], most: int) -> NDArray[Rows]:
    """Return at most so many of the rows of an array, every n-th one, in their order."""
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // max(most, 1)]


GOLDEN = (5**0.5 - 1) / 2  # multiples of it, without their whole parts, fill 0 to 1 evenly


def spread[Rows: np.generic](rows: NDArray[Rows]) -> NDArray[Rows]:
    """Return rows in an order whose first part, however long, is spread over all of them."""
    return rows[np.argsort((np.arange(len(rows)) * GOLDEN) % 1.0, kind="stable")]


def part_of(answer: Prediction, start: int, end: int | None) -> Answer:
    """Return the answers to the films from `start` to `end`."""
    return pick(answer, np.arange(len(answer.logits))[start:end])


def pick(answer: Prediction, rows: NDArray[np.int64]) -> Answer:
    """Return the answers to some of the films; a row that is not there is left out."""
    rows = rows[rows < len(answer.logits)]
    patterns = getattr(answer, "relu_patterns", None)
    return Answer(
        answer.logits[rows],
        answer.probability[rows],
        None if answer.evidence is None else answer.evidence[rows],
        None if patterns is None else patterns[rows],
    )


# --- film folder ---
# Films of a folder as `verify` feeds them: at most so many, those first that the network was not trained on.
#
# Labels are used where the folder has any that mean the same as the bundle's.


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFolder:
    """Which films of which folder."""

    folder: Path
    most: int | None = None  # None takes all
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)  # of a set with several findings
    strict: bool = False  # refuse a folder that holds anything but films and their labels


def read_films_of(source: FilmFolder, bundle: Path, reporter: Reporter) -> tuple[Any, Any, str]:
    """Read a folder as a data set with labels, or as a mere folder of films where it is none.

    Returns:
        model_inputs uint8 [N, 224, 224], labels int64 [N] or None, and a sentence that says what was fed.

    Raises:
        ConfigError: so few films are wanted that a class would have none.
        DataError: the folder holds no film that can be read.
    """
    from torch_train.data.index import read_index
    from torch_train.data.loading import load_films

    try:
        index = read_index(source.folder, patient=source.patient, strict=source.strict, **asdict(source.choice))
        for note in index.notes:
            reporter.say(f"note: {note}")
    except DataError as error:
        if source.strict or source.choice != LabelChoice():
            raise  # it was asked for
        model_inputs = _plain_films(source, bundle, reporter)
        reporter.say(f"labels are not used: {error.what}; {error.fix}")
        return model_inputs, None, f"{len(model_inputs)} films without labels"
    held, names = len(index.films), index.labels.names
    if source.most is not None and source.most < len(names):
        why = f"the folder holds films of {' and of '.join(names)}, and each class needs one"
        raise ConfigError(f"--most {source.most} takes films of one class alone", why=why, fix=f"--most {len(names)}")
    classes = np.array([film.label for film in index.films], np.int64)
    rows = _choose([film.path for film in index.films], source.most, bundle, classes)
    chosen = [index.films[row] for row in rows]
    loaded = load_films(replace(index, films=tuple(chosen)), reporter)
    labels = _labels(source, bundle, loaded.index, reporter)
    kind = "synthetic films" if index.synthetic else "films"
    which = f"{len(loaded.model_inputs)} {kind} of a folder" + (f" of {held}" if len(chosen) < held else "")
    return loaded.model_inputs, labels, which + _overlap(bundle, loaded.digests_by(known_by(bundle)))


def _choose(paths: Sequence[Path], most: int | None, bundle: Path, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows class by class: of films that the network was not trained on first, every n-th of each class.

    Every n-th of all would be one class alone where classes alternate, here and where a sample of these is taken.
    Each class has a film if there are as many.
    """
    if most is None or len(paths) <= most:
        return np.argsort(classes, kind="stable")
    trained_on, known = _trained_on(bundle), known_by(bundle)
    seen = np.array([bool(trained_on) and _is_of(path, known, trained_on) for path in paths])
    order = np.lexsort((np.arange(len(paths)), classes, seen))  # unseen ones first, class by class
    unseen = evenly(order[: int((~seen).sum())], most)
    chosen = np.concatenate([unseen, evenly(order[len(paths) - int(seen.sum()) :], most - len(unseen))])
    lacking = [order[classes[order] == one][0] for one in np.unique(classes) if one not in classes[chosen]]
    if lacking and most > len(lacking):
        commonest = np.bincount(classes[chosen]).argmax()
        spare = np.flatnonzero(classes[chosen] == commonest)[-len(lacking) :]
        chosen[spare] = lacking
    by_class: NDArray[np.int64] = chosen[np.lexsort((chosen, classes[chosen]))]
    return by_class


def _trained_on(bundle: Path) -> set[str]:
    return set(read_json(bundle / SPLIT)["train"]) if (bundle / SPLIT).is_file() else set()


def known_by(bundle: Path) -> FilmIdentity:
    """Return by what a bundle's split knows a film: its pixels, or its file in older ones."""
    record = read_json(bundle / SPLIT) if (bundle / SPLIT).is_file() else {}
    return "pixels" if record.get("film_identity") == "pixels" else "file"


def digest_of(data: bytes, known: FilmIdentity) -> str:
    """Return the SHA-256 by which a split knows a film; of a file that cannot be decoded, that of the file."""
    from torch_train.data.loading import digest_of_pixels

    try:
        return sha256_bytes(data) if known == "file" else digest_of_pixels(decode_xray(data))
    except FilmError:
        return sha256_bytes(data)


def _is_of(path: Path, known: FilmIdentity, digests: set[str]) -> bool:
    try:
        return digest_of(read_bytes(path), known) in digests
    except FilmError:
        return False  # it is said where the film is read


def _labels(source: FilmFolder, bundle: Path, index: FilmIndex, reporter: Reporter) -> NDArray[np.int64] | None:
    """Return the folder's labels in the bundle's polarity; None where its classes are others."""
    labels = np.array([film.label for film in index.films], np.int64)
    wanted, found = read_bundle(bundle).manifest.labels, index.labels
    turned = order_of(found, wanted)
    if turned is not None:
        return 1 - labels if turned else labels
    if source.choice.names_positive:
        return labels
    reporter.say(
        f"labels are not used: the bundle distinguishes {wanted.positive} from {wanted.negative}, the folder "
        f"{found.positive} from {found.negative}; --positive {illness_of(found)!r} if they mean the same"
    )
    return None


def order_of(found: Labels, wanted: Labels) -> bool | None:
    """Return False where a set's labels are a bundle's, True where they are in the other order, else None.

    The one rule of every command: case does not count.
    """
    plain, other = ((one.negative.casefold(), one.positive.casefold()) for one in (found, wanted))
    return False if plain == other else True if plain == other[::-1] else None


def illness_of(found: Labels) -> str:
    """Return the class to propose as positive: never the one that says that nothing was found."""
    from torch_train.data.findings import healthy_name

    return found.negative if healthy_name([found.positive]) else found.positive


def _overlap(bundle: Path, digests: Iterable[str]) -> str:
    """Say how many films the network was trained on; their AUROC flatters, their parity does not."""
    if not (bundle / SPLIT).is_file():
        return ""
    seen = _trained_on(bundle).intersection(digests)
    return f", {len(seen)} of which it was trained on (AUROC flatters)" if seen else ", none of them trained on"


def find_films(folder: Path) -> list[Path]:
    """Return the films of a folder, its subfolders and archives in the order of their paths."""
    return list(walk_films(folder).films)


def _plain_films(source: FilmFolder, bundle: Path, reporter: Reporter) -> Any:
    from tbconv.contract.preprocess import PreprocessSpec

    spec, model_inputs = PreprocessSpec(), []
    tree = walk_films(source.folder)
    paths = tree.films
    if left_out := tree.left_out():
        reporter.say(words_of(left_out, source.folder))
    for row in _choose(paths, source.most, bundle, np.zeros(len(paths), np.int64)):
        try:
            model_inputs.append(spec.from_file(paths[row]))
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
    if not model_inputs:
        raise DataError(
            f"{source.folder} holds no film that can be read",
            why="parity cannot pass on nothing",
            fix="name a folder of PNG, JPEG or DICOM films, or omit --films",
        )
    return np.stack(model_inputs)


# --- probes ---
# The golden inputs: drawn figures and phantoms that no patient stands behind.
#
# A square, symmetric or uniform input cannot see a transpose; these can.

PHANTOMS = 8  # half of them positive
FIRST_PROBE_SEED = 20_000  # apart from the seeds of any drawn training set


def golden_inputs(spec: PreprocessSpec) -> tuple[list[str], NDArray[np.uint8]]:
    """Return names and films, uint8 [N, size, size]."""
    figures = _figures(spec.size)
    phantoms = {
        f"phantom_{'positive' if index % 2 else 'negative'}_{index}": spec.model_input(
            draw_phantom(FIRST_PROBE_SEED + index, positive=bool(index % 2)).pixels
        )
        for index in range(PHANTOMS)
    }
    films = figures | phantoms
    return list(films), np.stack(list(films.values()))


def draw_phantoms(spec: PreprocessSpec, n: int) -> NDArray[np.uint8]:
    """Draw further phantoms, uint8 [n, size, size], every other one positive; none of them is a golden input."""
    first = FIRST_PROBE_SEED + PHANTOMS
    drawn = [draw_phantom(first + index, positive=bool(index % 2)) for index in range(n)]
    return np.stack([spec.model_input(phantom.pixels) for phantom in drawn])


def _figures(size: int) -> dict[str, NDArray[np.uint8]]:
    rows, columns = np.mgrid[:size, :size]
    black = np.zeros((size, size), np.uint8)
    corner, figure = black.copy(), black.copy()
    corner[: size // 8, : size // 8] = 255
    figure[size // 7 : size // 3, size // 5 : size // 4] = 200  # an upright bar
    figure[size // 3 : size // 3 + 9, size // 5 : size // 2] = 120  # and a foot: neither square nor symmetric
    noise = np.random.default_rng(FIRST_PROBE_SEED).integers(0, 256, (size, size), dtype=np.uint8)
    return {
        "black": black,
        "white": np.full_like(black, 255),
        "checkerboard": ((rows + columns) % 2 * 255).astype(np.uint8),
        "ramp_x": (columns * 255 // (size - 1)).astype(np.uint8),
        "ramp_y": (rows * 255 // (size - 1)).astype(np.uint8),
        "corner": corner,
        "figure": figure,
        "noise": noise,
    }


# --- draw films ---
# The golden films: drawn files of every kind that clients open differently, none of a patient.
#
# What a film has to become is known from its drawing, not from opening it: the model inputs come from
# numpy (`convert.parity.inputs`), so they check this machine's Pillow as well. Only what a JPEG holds after
# its loss comes from the decoder itself.

FIRST_FILM_SEED = 30_000  # apart from the golden inputs' and from those of any drawn training set
ORIENTATION, QUARTER_TURN = 0x0112, 6  # EXIF 2.3: the tag, and "turn clockwise to show"
QUALITY = 90
Grey = NDArray[np.uint8]


def draw_golden_films(spec: PreprocessSpec) -> tuple[GoldenFilm, ...]:
    """Draw the films, and see that this machine opens each as it was drawn.

    Raises:
        SetupError: the installed Pillow decodes or resizes images differently from training.
    """
    drawn = {**_grey_films(spec.size), **_deep_films(), **_coloured_films()}
    films = [_film(name, data, grey, spec.size, PNG_LEVELS) for name, (data, grey) in drawn.items()]
    films += [_film(name, data, decode_xray(data), spec.size, JPEG_LEVELS) for name, data in _jpeg_films().items()]
    problems = check_films(films, opener(spec))
    if problems:
        raise SetupError(
            "this machine decodes images differently from training",
            why="; ".join(problems),
            fix="pip install the versions of pyproject.toml, or find out what patches Pillow here",
        )
    return tuple(films)


def _film(name: str, data: bytes, grey: Grey, size: int, levels: int) -> GoldenFilm:
    return GoldenFilm(name, data, plain_square(grey, size), levels)


def _phantom(number: int, height: int, width: int) -> Grey:
    pixels = draw_phantom(FIRST_FILM_SEED + number, positive=bool(number % 2), size=max(height, width)).pixels
    top, left = (len(pixels) - height) // 2, (len(pixels) - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _grey_films(size: int) -> dict[str, tuple[bytes, Grey]]:
    rows, columns = np.mgrid[:777, :905]  # four times the input's side: some clients shrink in two steps from twice on
    lines = np.where((columns % 2 == 0) ^ (rows > columns), 255, (rows * columns) % 97).astype(np.uint8)
    films = {
        "landscape": _phantom(0, 301, 401),
        "portrait": _phantom(1, 433, 331),
        "fine_lines": lines,  # one pixel wide: a filter that skips pixels shows another pattern
        "size_of_the_input": _phantom(2, size, size),
        "tiny": np.ascontiguousarray(_phantom(3, 90, 90)[20:70, 25:63]),  # 50 x 38, enlarged
    }
    return {name: (_file(grey), grey) for name, grey in films.items()}


def _deep_films() -> dict[str, tuple[bytes, Grey]]:
    """Return films of 16 bits, with the bits below each grey level filled and neither end of the depth reached."""
    below = np.random.default_rng(FIRST_FILM_SEED).integers(-7, 8, (311, 263))
    films = {}
    for number, (name, bits) in enumerate({"12_of_16_bits": 12, "16_bits": 16}.items(), start=4):
        top = 2**bits - 1
        values = (_phantom(number, 311, 263) * (top * 0.9 / 255) + 0.03 * top + below).clip(0, top).astype(np.uint16)
        films[name] = (_file(values), np.rint(values * (255.0 / top)).astype(np.uint8))
    return films


def _coloured_films() -> dict[str, tuple[bytes, Grey]]:
    palette = np.random.default_rng(FIRST_FILM_SEED).permutation(256).astype(np.uint8)
    places, shown = np.argsort(palette).astype(np.uint8), _phantom(6, 257, 301)
    indexed = Image.fromarray(places[shown])
    indexed.putpalette(np.repeat(palette, 3).tobytes())
    hidden = _phantom(7, 301, 257)
    alpha = np.full_like(hidden, 255)
    alpha[:40], alpha[200:260, 30:90] = 0, 0  # wholly seen or wholly hidden: halves would be rounded by taste
    marked = np.repeat(_phantom(8, 271, 313)[..., None], 3, axis=2)
    marked[20:60, 20:90], marked[200:230, 250:300] = (230, 40, 20), (10, 90, 240)  # as annotations are
    return {
        "palette": (_file(indexed), shown),
        "alpha": (_file(np.dstack([hidden, hidden, hidden, alpha])), np.where(alpha > 0, hidden, 0).astype(np.uint8)),
        "colour_marks": (_file(marked), _luma(marked)),
    }


def _luma(rgb: Grey) -> Grey:
    """Return ITU-R 601 luma as Pillow rounds it (src/libImaging/Convert.c, L24): 16 bits, half up."""
    mixed = rgb.astype(np.int64) @ np.array([19595, 38470, 7471]) + 0x8000
    return np.asarray(mixed >> 16, np.uint8)


def _jpeg_films() -> dict[str, bytes]:
    lying, exif = Image.fromarray(_phantom(10, 277, 365)).convert("RGB"), Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    return {
        "jpeg": _file(_phantom(9, 365, 301), "JPEG", quality=QUALITY),
        "jpeg_with_exif_orientation": _file(lying, "JPEG", quality=QUALITY, exif=exif),
    }


def _file(pixels: Grey | NDArray[np.uint16] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, kind, **options)
    return out.getvalue()


# --- plain resize ---
# Pillow's padding and bilinear resize written out in numpy: checks that the installed Pillow still resizes so.
#
# Whole numbers throughout, so it agrees bit for bit or not at all. Source: src/libImaging/Resample.c of Pillow 12
# (`precompute_coeffs`, `normalize_coeffs_8bpc`, horizontal pass first).

PRECISION_BITS = 32 - 8 - 2  # Resample.c: 8 bits of result, 2 against overflow
HALF = 1 << (PRECISION_BITS - 1)


def plain_square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pad to a square with black and resize.

    Args:
        pixels: uint8 [H, W].
        size: side of the result.

    Returns:
        uint8 [size, size].
    """
    height, width = pixels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas: NDArray[np.int64] = np.zeros((side, side), np.int64)
    canvas[top : top + height, left : left + width] = pixels
    weights = _weights(side, size)
    for _ in range(2):  # along the rows, turned, along the columns, turned back
        canvas = ((canvas @ weights.T + HALF) >> PRECISION_BITS).T
    return canvas.astype(np.uint8)


def _weights(side: int, size: int) -> NDArray[np.int64]:
    """Return the weights of a triangle as wide as a pixel of the result, int64 [size, side]."""
    scale = side / size
    reach = max(scale, 1.0)
    weights = np.zeros((size, side), np.int64)
    for row in range(size):
        centre = (row + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(side, int(centre + reach + 0.5))
        raw = np.maximum(0.0, 1.0 - np.abs((np.arange(first, last) - centre + 0.5) / reach))
        weights[row, first:last] = (raw / raw.sum() * (1 << PRECISION_BITS) + 0.5).astype(np.int64)
    return weights


# --- near threshold ---
# Films searched to lie at the operating point: blends of two films, one on each side of it.
#
# There the smallest difference flips a decision, so what flips on them is reported apart and never counted among
# films. The search runs PyTorch in float32 (convert.runners.pytorch).

CANDIDATES = 24  # films that a pair is searched among


def find_near_threshold(
    reference: Runtime, model_inputs: NDArray[np.uint8], *, threshold: float, folder: Path
) -> NDArray[np.uint8]:
    """Return blends near the threshold, uint8 [0 to 8, 224, 224]; none where all films lie on one side.

    Args:
        reference: PyTorch in float32.
        model_inputs: films to blend, uint8 [N, 224, 224]; at most 24 of them, evenly spread, are used.
        threshold: margin in logits.
        folder: for the arrays on their way.
    """
    rows = np.arange(min(CANDIDATES, len(model_inputs))) * len(model_inputs) // min(CANDIDATES, len(model_inputs))
    images, out = folder / "candidates.npy", folder / "near.npy"
    np.save(images, model_inputs[rows])
    request = reference.request | {"images": str(images), "out": str(out), "threshold": threshold}
    run_step("convert.runners.pytorch:near_threshold", request, threads=2)
    found: NDArray[np.uint8] = np.load(out, allow_pickle=False)
    return found
