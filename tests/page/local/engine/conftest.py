"""The engine of `client/` in Chromium, on a page of its own: a drawn bundle as `tbconv page` writes it, and films."""

import base64
import contextlib
import importlib.util
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from draw_engine_films import draw_phantom_film

from convert.parity.inputs import draw_golden_films
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, read_json, seal
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.golden import GOLDEN_FILMS, write_golden_films
from tbconv.contract.xray.reference import GREY_REFERENCE, fit_reference
from tf_serve.score.scorer import Scorer
from tf_serve.server.static_page import PageConfig, write_page

_spec = importlib.util.spec_from_file_location("local_fixtures", Path(__file__).parents[1] / "conftest.py")
local = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(local)
append_metadata = local.serving.append_metadata

ROOT = Path(__file__).parents[4]
CLIENT = ROOT / "client"
SHIPPED = ROOT / "tf_serve" / "server" / "page" / "engine"
# As strict as the page that `tbconv page` writes: no host but this one, no code made of text.
POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"
PAGE = f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="{POLICY}; img-src data:">
<body><script type="module" src="engine-test.js"></script></body>"""
SCRIPT = """import * as client from "%s";
const parts = ({ kind, what, why, fix, status, retryAfter, stack }) => ({
  kind: kind ?? `not an EngineError: ${stack}`, what, why, fix, status, retryAfter,
});
const bytesOf = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const tried = (work) => work.then((value) => ({ value }), (error) => ({ error: parts(error) }));
globalThis.start = (url) => tried(client.load(url ?? "./").then((model) => ((globalThis.model = model), model.proof)));
globalThis.screen = (film) => tried(globalThis.model.screen(bytesOf(film)));
const plain = ({ pixels, width, height }) => ({ pixels: Array.from(pixels), width, height });
globalThis.picture = (film) => tried(globalThis.model.picture(bytesOf(film)).then(plain));
globalThis.remote = (url, film, options) => tried(client.screenRemote(url, bytesOf(film), options));
globalThis.ready = true;"""


@pytest.fixture
def engine_bundle(provable_bundle, networks):
    """Return a function that writes a bundle with every golden film and a reference of greys."""

    def make(name="bundle", *, append=None, **options):
        root = provable_bundle(name, **options)
        manifest = read_bundle(root).manifest
        spec = manifest.preprocessing
        write_golden_films(root / GOLDEN_FILMS, draw_golden_films(spec))
        films = np.stack([spec.model_input(draw_phantom_film(seed, 300 + seed, 280 + seed % 7)) for seed in range(50)])
        reference = fit_reference(films[:35], films[35:], near=(0.05, 0.05))
        (root / GREY_REFERENCE).write_bytes(reference.to_bytes())
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return append(root) if append else root

    return make


@pytest.fixture
def replace_model():
    """Return a function that puts another file in the place of a bundle's, and seals it again, unwatched."""

    def put(root, path, source):
        manifest = read_bundle(root).manifest
        shutil.copyfile(source, root / path)
        certificate = read_json(root / CERTIFICATE)
        certificate["artefacts"][path]["sha256"] = sha256_file(root / path)
        write_json(root / CERTIFICATE, certificate)
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return root

    return put


@pytest.fixture
def write_site(tmp_path):
    """Return a function that writes the page of a bundle, with a page beside it that has nothing but the engine."""

    def write(bundle, artefact="model_int8.tflite", *, engine="./static/engine/index.js"):
        out = tmp_path / f"site-{artefact}"
        write_page(PageConfig(bundle=bundle, out=out, artefact=artefact))
        (out / "engine-test.html").write_text(PAGE)
        (out / "engine-test.js").write_text(SCRIPT % engine)
        return out

    return write


@pytest.fixture
def drawn_site(build_once, engine_bundle, write_site, tmp_path):
    """Return a function that gives a copy of the page of a whole drawn bundle, which is written once a session."""

    def copy(artefact="model_int8.tflite"):
        written = build_once(
            f"site-{artefact}", lambda folder: shutil.copytree(write_site(engine_bundle(), artefact), folder / "site")
        )
        return shutil.copytree(written / "site", tmp_path / f"copy-{artefact}")

    return copy


class EnginePage:
    """A page with the engine, as a test asks it."""

    def __init__(self, page):
        self.page = page

    def start(self, url=None):
        return self.page.evaluate("url => start(url)", url)

    def screen(self, film):
        return self.page.evaluate("film => screen(film)", base64.b64encode(film).decode())

    def picture(self, film):
        return self.page.evaluate("film => picture(film)", base64.b64encode(film).decode())

    def remote(self, url, film, **options):
        asked = [url, base64.b64encode(film).decode(), options]
        return self.page.evaluate("([url, film, options]) => remote(url, film, options)", asked)


@pytest.fixture
def open_engine(host, browser):
    """Return a function that opens a site's test page; `change(text)` alters the engine on its way to the browser."""
    watches = []
    with contextlib.ExitStack() as stack:

        def go(site, *, change=None, fault="", may_fail=False, foreign=False):
            home = host(site).url
            context = browser.new_context(service_workers="block")
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(60_000)
            watch = local.Watch(home.rstrip("/"), may_fail)
            watch.attach(page)
            watches.append((watch, foreign))
            if fault:
                page.add_init_script(fault)
            if change is not None:

                def altered(route):
                    answer = route.fetch()
                    route.fulfill(response=answer, body=change(answer.text()))

                page.route("**/engine/index.js", altered)
            page.goto(f"{home}engine-test.html")
            page.wait_for_function("globalThis.ready")
            return EnginePage(page)

        yield go
    assert [(watch.faults, [] if foreign else watch.foreign) for watch, foreign in watches] == [([], [])] * len(watches)


@pytest.fixture
def scorer():
    """Return a function that opens the same file in Python."""
    return lambda bundle, artefact="model_int8.tflite": Scorer(bundle, artefact=artefact)


@pytest.fixture(scope="session")
def built_client(build_once):
    """Folder of a page's project that installed the package: `npm pack` of a copy of `client/`, built there anew."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine: install Node.js 20 or newer")

    def build(folder):
        copy, project = folder / "client", folder / "project"
        shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
        project.mkdir()
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        steps = (
            ([npm, "ci", "--ignore-scripts", *quiet], copy),
            ([npm, "pack", "--pack-destination", str(folder), *quiet], copy),
            ([npm, "install", "--offline", *quiet, str(folder / "tbconv-client-0.1.0.tgz")], project),
        )
        for command, at in steps:
            done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])

    return build_once("client", build) / "project"
