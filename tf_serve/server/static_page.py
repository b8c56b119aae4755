"""The server's page as a folder that any web host serves: the model answers in the reader's browser, no film leaves it.

One chain of digests binds the folder: the pages and the service worker hold that of site.json, and site.json holds
those of all other files. The model proves itself in each browser before it answers (docs/page.md): golden inputs, of no
patient, from the bytes of their files to their answers. What is written there comes from the code that answers here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import (
    COPIED,
    MAKE_AGAIN,
    MANIFEST,
    Bundle,
    parse_json,
    read_bundle,
    read_site,
    refuse_inside,
    replace_folder,
)
from tbconv.contract.errors import ArtefactError, BundleError, Reporter, SetupError, Silence, some
from tbconv.contract.files import require_room, sha256_bytes, sha256_file
from tbconv.contract.golden import GOLDEN, GOLDEN_FILMS, Golden, GoldenFilm, read_films_of_bundle, read_golden
from tbconv.contract.manifest import BATCH
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.signature import SignatureRule
from tbconv.contract.statistics import Prediction
from tbconv.contract.xray import open_film
from tbconv.contract.xray.film import MAX_ASPECT, MIN_SIDE, RejectionReason
from tf_serve.fallback import ActiveModel, choose_checked
from tf_serve.gate.browser import film_rules, reference_words
from tf_serve.gate.rules import MAX_CHROMA, MIN_CONTRAST, SURE, GateLevel, read_likeness, refuse
from tf_serve.messages import ModelList, ModelRow, write_json
from tf_serve.models.loader import BundleLoader
from tf_serve.models.registry import LoadedModel
from tf_serve.predict import describe_calibration, describe_model, limits, screen
from tf_serve.runtime.guards import Range
from tf_serve.runtime.tflite import TFLiteModel
from tf_serve.server.routes.screening import PAGE_FOLDER, describe_bundle, describe_card, png
from tf_serve.settings import MAX_BODY

SCHEMA = 1
LISTING = "site.json"  # digests of all other files, and all that is to be known of the model
MODEL = "model.tflite"
FILMS_PAGE, MODEL_PAGE = PAGES = ("index.html", "model.html")
WORKER = "service-worker.js"
UNLISTED = (LISTING, WORKER, *PAGES)  # these hold the digest of site.json: it cannot hold theirs
ENGINE = "engine/index.js"  # of the page's folder: what answers in a browser, as `make client` built it
LEFT_OUT = (
    "docs.css",
    "docs.html",
    "docs.js",
    WORKER,
    *PAGES,
)  # without a server there is no API
VERSION_DIGITS = 12
JPEG = b"\xff\xd8"  # begins a JPEG file
SAME_PILLOW = "install Pillow as it was at conversion; tbconv show BUNDLE --json names its version"

# As strict as the server's headers (tf_serve.server.middleware.POLICY). A page cannot say frame-ancestors of itself.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
HEAD = """<meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="{policy}">
  <meta name="referrer" content="no-referrer">
  <meta name="tbconv-site" content="{digest}">
  <link rel="manifest" href="manifest.webmanifest">"""
UNSERVED = (
    '<p class="banner unserved">This page did not start. It needs a browser with JavaScript and a web server: in its '
    "folder, python -m http.server --bind 127.0.0.1, then http://127.0.0.1:8000.</p></div>"
)
# What the page says of a server, and what it says without one: each is found, or the page is not written.
HERE = {
    '<meta charset="utf-8">': HEAD,
    'role="status"></div>': f'role="status">{UNSERVED}',
    'href="model"': 'href="model.html"',
    '<a href="docs">API</a>': "",
}
HERE_OF_FILMS = {
    "asking which model answers …": "proving itself in this browser …",
    ">No film yet.</p>": ">Proving itself in this browser: no film is answered before.</p>",
    "They are answered in memory and kept nowhere; their names stay in this browser.": (
        "They are answered in this browser and sent nowhere: once the page is there, it asks nobody anything."
    ),
}
HERE_OF_MODEL = {"asking which model answers …": "comparing the files of this page with their digests …"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """What becomes a page, and where."""

    bundle: Path
    out: Path
    artefact: str | None = None  # None: the file that the certificate proposes
    signature: SignatureRule | None = None  # whose signature is required
    site: Path | None = None  # site.json of `tbconv evaluate --bundle`: the site's own figures


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """What was written."""

    folder: Path
    version: str  # 12 hex digits of the digest of site.json: of all that the folder holds
    model: dict[str, Any]  # who answers, as every answer says it
    golden: int  # files on which the model proves itself in each browser
    repeats: bool  # whether this machine gave the recorded answers to the bit, and vouches for those to golden films
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"folder": str(self.folder)}


def write_page(config: PageConfig, reporter: Reporter | None = None) -> WrittenPage:
    """Write the page of a bundle into a folder, whole or not at all; an older page there is replaced.

    Args:
        config: the bundle, the folder and the choices.
        reporter: where progress goes; nowhere by default.

    Raises:
        BundleError: no file of the bundle may answer, none could prove itself in a browser, or the folder is taken.
        ConfigError: the folder lies inside the bundle, or the artefact is no TFLite file.
        SetupError: this machine decodes images differently from training, its disk is full, or the engine is missing.
    """
    said = reporter or Silence()
    refuse_inside(config.bundle, config.out, fix="choose another --out")
    bundle = read_bundle(config.bundle)
    active = choose_checked(
        bundle, artefact=config.artefact, signature=config.signature, open_file=BundleLoader().open_file
    )
    if config.site is not None:
        active = replace(active, site=read_site(config.site, bundle))
    golden, films = _proof_of(bundle)
    _check_engine()
    if active.reason:
        said.say(f"the baseline will answer: {active.reason}")
    require_room({config.out.parent: bundle.manifest.files[active.artefact].bytes}, what=f"the page in {config.out}")
    with _page_folder(config.out) as folder:
        writer = _Writer(folder, bundle, active, golden, films)
        listing = writer.write(said)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return WrittenPage(
        folder=config.out,
        version=listing[:VERSION_DIGITS],
        model=describe_model(active, bundle.manifest),
        golden=len(golden.names) + len(films),
        repeats=writer.repeats,
        files=len(sizes),
        bytes=sum(sizes),
    )


def _check_engine() -> None:
    if not (PAGE_FOLDER / ENGINE).is_file():
        why = f"{PAGE_FOLDER / ENGINE} is missing: the files that answer in a browser are built from client/"
        raise SetupError("this tbconv cannot write pages", why=why, fix="in a checkout: make client")


def _proof_of(bundle: Bundle) -> tuple[Golden, tuple[GoldenFilm, ...]]:
    """Return what the model proves itself on in a browser; BundleError where the bundle records nothing."""
    lacking = [name for name in (GOLDEN, GOLDEN_FILMS) if name not in bundle.manifest.files]
    if lacking:
        why = f"it records no {' and no '.join(lacking)}, and before it answers the model proves itself on these"
        raise BundleError(f"{bundle.root} cannot prove itself in a browser", why=why, fix=MAKE_AGAIN)
    return read_golden(bundle.read(GOLDEN)), read_films_of_bundle(bundle)


@contextlib.contextmanager
def _page_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of nothing, or of an older page and nothing else."""
    listed = _listed_in(out)
    if listed is not None:
        there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        if others := sorted(there - {*listed, *UNLISTED}):
            raise BundleError(
                f"{out} holds more than a page",
                why=f"writing there would remove {some(others)}, which tbconv did not write",
                fix="choose another --out, or move what is yours elsewhere",
            )
    with replace_folder(out, marks=() if listed is None else (LISTING,), kind="no page of tbconv") as folder:
        yield folder


def _listed_in(out: Path) -> set[str] | None:
    """Return the files that a folder's site.json lists; None where it is no page of ours."""
    try:
        found = parse_json((out / LISTING).read_bytes(), LISTING, keys_of_users=True)
    except (OSError, BundleError):
        return None
    ours = isinstance(found, dict) and {"schema", "model", "golden", "files"} <= found.keys()
    return set(found["files"]) if ours and isinstance(found["files"], dict) else None


_GoldenFile = tuple[str, bytes, NDArray[np.uint8] | None, Prediction | None]  # name, file, its input and its answers


class _Writer:
    """One folder in the making: every file that is put there is listed with its digest."""

    def __init__(
        self, folder: Path, bundle: Bundle, active: ActiveModel, golden: Golden, films: Sequence[GoldenFilm]
    ) -> None:
        self.folder, self.bundle, self.active = folder, bundle, active
        self.golden, self.films = golden, films
        self.repeats = False
        self._files: dict[str, str] = {}

    def write(self, reporter: Reporter) -> str:
        """Write everything and return the digest of site.json."""
        self._put_page()
        self._put_model()
        model = TFLiteModel(self.folder / MODEL, name=self.active.artefact, checked=True)  # what is shipped is asked
        _check_batch(model, self.active.artefact)
        listing = {
            "schema": SCHEMA,
            "model": self._describe_file(),
            "manifest": json.loads(self.bundle.read(MANIFEST)),
            "manifest_sha256": self.bundle.sha256,
            "answer": self._describe_answer(),
            "golden": list(self._golden_rows(model, reporter)),
            "gate": self._gate(),
            "reference": self._reference(),
        }
        self._put_papers()
        text = json.dumps(listing | {"files": self._files}, indent=1, sort_keys=True, allow_nan=False)
        data = f"{text}\n".encode()
        (self.folder / LISTING).write_bytes(data)
        digest = sha256_bytes(data)
        self._write_pages(digest)
        return digest

    def _put(self, name: str, data: bytes) -> str:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self._files[name] = sha256_bytes(data)
        return self._files[name]

    def _put_page(self) -> None:
        for path in sorted(PAGE_FOLDER.rglob("*")):
            name = path.relative_to(PAGE_FOLDER).as_posix()
            if path.is_file() and name not in LEFT_OUT:
                self._put(f"static/{name}", path.read_bytes())
        self._put("manifest.webmanifest", _as_json(_web_app(self.bundle.manifest.name, self._model["disclaimer"])))

    def _put_model(self) -> None:
        source, place = self.bundle.path(self.active.artefact), self.folder / MODEL
        with source.open("rb") as file, place.open("wb") as copy:
            shutil.copyfileobj(file, copy, COPIED)
        self._files[MODEL] = sha256_file(place)
        if self._files[MODEL] != self.active.sha256:  # it was replaced after it was judged
            what, why = f"{self.active.artefact} changed while it was copied", "what was copied was never verified"
            raise ArtefactError(what, why=why, fix=MAKE_AGAIN)

    @property
    def _model(self) -> dict[str, Any]:
        return describe_model(self.active, self.bundle.manifest)

    def _describe_file(self) -> dict[str, Any]:
        return {
            "file": MODEL,
            "sha256": self.active.sha256,
            "bytes": (self.folder / MODEL).stat().st_size,
            "artefact": self.active.artefact,
            "digest": self.bundle.sha256,
        }

    def _describe_answer(self) -> dict[str, Any]:
        """Return what holds for every answer: words and numbers that a browser copies and does not derive again."""
        rule, manifest = self.active.decision_rule, self.bundle.manifest
        allowed = Range.around(self.golden.answers[self.active.artefact].margin)
        return {
            "network": self.active.kind,
            "model": self._model,
            "calibration": describe_calibration(rule),
            "threshold": rule.operating_point.margin,
            "threshold_score": rule.threshold_score,
            "score_digits": rule.score_digits,
            "indeterminate_band": self.active.abstention_band,
            "decision_words": manifest.words.decisions,
            "limits": list(limits(self.active, manifest)),
            "margins": [allowed.low, allowed.high],
        }

    # --- golden ---

    def _golden_rows(self, model: TFLiteModel, reporter: Reporter) -> Iterator[dict[str, Any]]:
        """Write the golden inputs and films as files, and yield what each must become and must be answered.

        What is answered to golden inputs was recorded at conversion, on the machine that certified them. The films'
        answers come from this machine, which has to repeat the recorded ones to the bit for it.
        """
        recorded = self.golden.answers[self.active.artefact]
        asked = model.predict(as_model_input(self.golden.model_inputs))
        outputs = ("logits", "probability", "evidence")
        self.repeats = all(np.array_equal(getattr(asked, name), getattr(recorded, name)) for name in outputs)
        inputs = enumerate(zip(self.golden.names, self.golden.model_inputs, strict=True))
        rows: list[_GoldenFile] = [(name, png(grey), grey, _row(recorded, at)) for at, (name, grey) in inputs]
        rows += [(film.name, film.data, None, None) for film in self.films]
        answering = replace(self.active, classifier=model)
        for at, row in enumerate(reporter.track(rows, title="golden films", total=len(rows))):
            yield self._golden_row(at, row, answering)

    def _golden_row(self, at: int, row: _GoldenFile, answering: ActiveModel) -> dict[str, Any]:
        name, data, expected, known = row
        manifest = self.bundle.manifest
        film = open_film(data, name=f"the golden film {name}")
        model_input = manifest.preprocessing.model_input(film.pixels)
        if expected is not None and not np.array_equal(model_input, expected):
            why = f"the golden input {name} as a PNG becomes another model input than it is"
            raise SetupError("this machine decodes images differently from training", why=why, fix=SAME_PILLOW)
        refusal = refuse(film, GateLevel.STRICT)
        answer = known or (answering.classifier.predict(as_model_input(model_input[None])) if self.repeats else None)
        whole = screen(data, answering, manifest).to_json() if self.repeats else None
        place = f"golden/{at:02}.{'jpg' if data.startswith(JPEG) else 'png'}"
        return {
            "name": name,
            "film": place,
            "sha256": self._put(place, data),
            "model_input_sha256": sha256_bytes(model_input.tobytes()),
            "gate": refusal.value if refusal else None,
            "logits": answer and answer.logits[0].tolist(),
            "probability": answer and float(answer.probability[0, 0]),
            "evidence": answer and answer.evidence[0].tolist(),  # type: ignore[index]  # a TFLite file has evidence
            "answer": whole and {key: value for key, value in whole.items() if key != "result_id"},
        }

    # --- gate, reference, papers ---

    def _gate(self) -> dict[str, Any]:
        self._put("gate/likeness.json", _as_json(_plain(read_likeness())))
        rules = {
            "min_side": MIN_SIDE,
            "max_aspect": MAX_ASPECT,
            "max_chroma": MAX_CHROMA,
            "min_contrast": MIN_CONTRAST,
            "sure": SURE,
        }
        reasons = {reason.value: reason.explanation for reason in RejectionReason}
        return {"level": GateLevel.STRICT.value, "rules": rules, "likeness": "gate/likeness.json"} | {
            "reasons": reasons,
            "film": film_rules(),
        }

    def _reference(self) -> str | None:
        if self.active.reference is None:  # every answer says so (tf_serve.predict.special_limits)
            return None
        threshold = self.active.decision_rule.operating_point.margin
        words = reference_words(self.active.reference, network=self.active.kind, threshold=threshold)
        self._put("gate/reference.json", _as_json(_plain(self.active.reference) | {"words": words}))
        return "gate/reference.json"

    def _put_papers(self) -> None:
        loaded = LoadedModel(self.bundle.manifest.name, self.active.version, self.bundle, self.active)
        kind, verdict = self.active.kind, self.active.verdict.verdict.value
        row = ModelRow(name=loaded.name, version=loaded.version, kind=kind, verdict=verdict)
        self._put("papers/manifest.json", self.bundle.read(MANIFEST))
        self._put("papers/model.json", write_json(describe_card(loaded, most_bytes=MAX_BODY)))
        self._put("papers/certificate.json", write_json(describe_bundle(loaded)))
        self._put("papers/models.json", write_json(ModelList(models=[row], default=loaded.name)))

    def _write_pages(self, digest: str) -> None:
        for name, own in ((FILMS_PAGE, HERE_OF_FILMS), (MODEL_PAGE, HERE_OF_MODEL)):
            text = (PAGE_FOLDER / name).read_text(encoding="utf-8")
            for found, here in (HERE | own).items():
                if found not in text:
                    raise ValueError(f"{name} no longer holds {found!r}")
                text = text.replace(found, here.format(policy=POLICY, digest=digest))
            (self.folder / name).write_text(text, encoding="utf-8")
        kept = json.dumps([LISTING, *PAGES, *sorted(self._files)])
        worker = (PAGE_FOLDER / WORKER).read_text(encoding="utf-8")
        (self.folder / WORKER).write_text(
            f'const SITE = "{digest}"; // SHA-256 of site.json\nconst KEPT = {kept};\n\n{worker}', encoding="utf-8"
        )


def _check_batch(model: TFLiteModel, name: str) -> None:
    """Refuse a file of an open batch: LiteRT in a browser answers its first film alone, and zeros to all others."""
    if any(BATCH in spec.shape for spec in (*model.inputs, *model.outputs)):
        why = "its batch is open, as in older bundles, and LiteRT in a browser answers its first film alone"
        raise ArtefactError(f"{name} cannot answer in a browser", why=why, fix=MAKE_AGAIN)


def _row(answers: Prediction, at: int) -> Prediction:
    evidence = None if answers.evidence is None else answers.evidence[at : at + 1]
    return Prediction(answers.logits[at : at + 1], answers.probability[at : at + 1], evidence)


def _web_app(name: str, disclaimer: str) -> dict[str, Any]:
    """Return the manifest by which a browser installs the page: https://www.w3.org/TR/appmanifest/."""
    return {
        "name": f"Chest film screening: {name}",
        "short_name": "Film screening",
        "description": disclaimer,
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#1d2733",
        "icons": [{"src": "static/icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}],
    }


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass of arrays and numbers, ready for JSON."""
    plain = {one.name: getattr(value, one.name) for one in fields(value)}
    return {name: _array(one) if isinstance(one, np.ndarray) else one for name, one in plain.items()}


def _array(values: NDArray[Any]) -> dict[str, Any]:
    """Return an array as its dtype, shape and bytes, little-endian in C order, in base64."""
    packed = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return {"dtype": values.dtype.name, "shape": list(values.shape), "base64": base64.b64encode(packed).decode()}


def _as_json(value: Any) -> bytes:
    return f"{json.dumps(value, indent=1, sort_keys=True, allow_nan=False)}\n".encode()
