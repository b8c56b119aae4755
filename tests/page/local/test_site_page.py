"""The page without a server: what it shows before, while and after it answers, offline too, and what it never asks."""

import json

import pytest

from tf_serve.server.static_page import PageConfig, write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is in the dev extra")
expect = sync_api.expect


@pytest.fixture
def written(no_engine, provable_bundle, tmp_path):
    """Return a function that writes a page with the engine that is none, into the same folder each time."""

    def write(name="bundle", **options):
        write_page(PageConfig(bundle=provable_bundle(name, **options), out=tmp_path / "site"))
        return tmp_path / "site"

    return write


def kept(page):
    """Wait until the browser keeps the page for use without a network."""
    expect(page.locator("#facts")).to_contain_text("kept in this browser: the page opens and answers")


def violations(page):
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.Axe().run(page).response["violations"]]


def in_every_look(page):
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += violations(page)
    page.set_viewport_size({"width": 360, "height": 740})
    return found + violations(page)


# --- answers ---


def test_a_film_is_answered_in_the_browser_and_nobody_is_asked_anything(written, host, open_page, films):
    page = open_page(host(written()).url)
    expect(page.locator("#status")).to_have_text("No film yet.")
    expect(page.locator("#facts")).to_contain_text("5 golden files, of no patient, opened and answered as recorded")
    kept(page)
    before = len(page.watch.asked)
    page.set_input_files("#file", films(3))
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#decision")).to_be_visible()
    expect(page.locator("#rows button[data-state=ok]")).to_have_count(3)
    expect(page.locator("#frame")).to_be_visible()
    assert [url for url in page.watch.asked[before:] if not url.startswith("blob:")] == []


def test_it_says_that_it_is_a_research_tool_wherever_a_result_is_shown(written, host, open_page, films):
    site = written()
    page = open_page(host(site).url)
    page.set_input_files("#file", films(1))
    expect(page.locator("#decision")).to_be_visible()
    expect(page.locator("#disclaimer")).to_contain_text("Research tool, not a medical device")
    expect(page.locator("#limits")).to_contain_text("Research tool, not a medical device")
    assert "Research tool, not a medical device" in page.locator("#report .limits").inner_text()
    with page.expect_download() as saved:
        page.click("#download")
    assert "not a medical device" in saved.value.path().read_text()
    assert "not a medical device" in json.loads((site / "manifest.webmanifest").read_text())["description"]


def test_offline_a_reload_answers_as_before(written, host, open_page, films):
    served = host(written())
    page = open_page(served.url)
    kept(page)
    page.context.set_offline(True)
    served.stop()
    page.reload()
    page.set_input_files("#file", films(1))
    expect(page.locator("#decision")).to_be_visible()
    page.goto(f"{served.url}model.html")
    expect(page.locator("#name")).to_have_text("tiny")
    page.click("text=Films")
    expect(page.locator("#facts")).to_contain_text("answered as recorded")


def test_it_can_be_installed(written, host, open_page):
    page = open_page(host(written()).url)
    kept(page)
    session = page.context.new_cdp_session(page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["display"] == "standalone"
    hindered = {one["errorId"] for one in session.send("Page.getInstallabilityErrors")["installabilityErrors"]}
    assert hindered <= {"in-incognito"}  # as every context of a test is


def test_a_film_that_the_browser_cannot_draw_is_drawn_by_the_engine(written, host, open_page, as_png):
    import io

    import numpy as np
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 65535, (200, 200)).astype(np.uint16)).save(out, "PNG")
    page = open_page(host(written()).url)
    page.set_input_files("#file", [{"name": "deep.png", "mimeType": "image/png", "buffer": out.getvalue()}])
    expect(page.locator("#frame")).to_be_visible()


def test_what_is_no_film_stays_an_error_of_its_row_with_its_reason(written, host, open_page):
    page = open_page(host(written()).url)
    page.set_input_files("#file", [{"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG"}])
    expect(page.locator("#error")).to_have_text("a.png: It is no film (it is too short).")


def test_the_page_about_the_model_shows_the_same_as_the_servers(written, host, open_page, visit, serve, tmp_path):
    site = written()
    page = open_page(host(site).url, "model.html", ready=False)
    expect(page.locator("#name")).to_have_text("tiny")
    with serve(tmp_path / "bundle") as client:
        of_server = visit(client, "/model")
        expect(of_server.locator("#name")).to_have_text("tiny")
        for part in ("#identity", "#figures", "#certificate", "#origin", "#what"):
            assert page.locator(part).inner_text() == of_server.locator(part).inner_text()
    assert page.locator("nav a").all_inner_texts() == ["Films", "Model"]


def test_axe_finds_no_violation_in_any_state(written, host, open_page, films):
    served = host(written())
    page = open_page(served.url)
    assert in_every_look(page) == []
    page.set_input_files("#file", films(2))
    expect(page.locator("#progress")).to_be_hidden()
    for part in page.locator("details").all():
        part.evaluate("(element) => { element.open = true; }")
    assert in_every_look(page) == []
    model = open_page(served.url, "model.html", ready=False)
    expect(model.locator("#name")).to_have_text("tiny")
    assert in_every_look(model) == []


# --- refusals ---

REFUSED = "Nothing is answered"


def refused(page, films, *words):
    """Expect that nothing is answered, before and after a film is dropped, and that the reason is shown."""
    expect(page.locator("#banners")).to_contain_text(REFUSED)
    for word in words:
        expect(page.locator("#banners")).to_contain_text(word)
    expect(page.locator("#model-line")).to_have_text("no model answers")
    page.set_input_files("#file", films(1))
    expect(page.locator("#trouble")).to_be_visible()
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#error")).to_contain_text(words[0])


def altered(name):
    def alter(site):
        data = bytearray((site / name).read_bytes())
        data[len(data) // 2] ^= 1
        (site / name).write_bytes(data)

    return alter


def longer(name):
    return lambda site: (site / name).write_bytes((site / name).read_bytes() + b"\n")


def swap_labels(listing):
    labels = listing["manifest"]["labels"]
    labels["negative"], labels["positive"] = labels["positive"], labels["negative"]


def other_golden(site):
    text = (site / "site.json").read_text()
    (site / "site.json").write_text(text.replace('"film 0"', '"film O"'))


PLANTED = {
    "a byte of the model": (altered("model.tflite"), "model.tflite"),
    "a golden film": (altered("golden/03.png"), "golden/03.png"),
    "a golden answer": (other_golden, "site.json"),
    "a line of the page": (longer("static/words.js"), "static/words.js"),
    "what the gate knows": (altered("gate/likeness.json"), "gate/likeness.json"),
    "a missing golden film": (lambda site: (site / "golden/04.png").unlink(), "golden/04.png cannot be read"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_an_altered_folder_answers_nothing_and_says_which_file(written, host, open_page, films, fault):
    site = written()
    plant, named = PLANTED[fault]
    plant(site)
    page = open_page(host(site).url, ready=False, may_fail=True)
    refused(page, films, named)
    assert violations(page) == []


def test_labels_in_another_order_answer_nothing_where_all_digests_are_made_anew(
    written, relisted, host, open_page, films
):
    page = open_page(host(relisted(written(), swap_labels)).url, ready=False)
    refused(page, films, "site.json and the bundle's manifest disagree")


def test_a_model_that_cannot_prove_itself_answers_nothing_and_says_why(written, no_engine, host, open_page, films):
    error = "Object.assign(new Error(), { what: 'film 0: logits differ', why: 'of a test', fix: '' })"
    (no_engine / "engine" / "index.js").write_text(f"export async function load() {{ throw {error}; }}")
    page = open_page(host(written()).url, ready=False)
    refused(page, films, "The model could not prove itself in this browser: film 0: logits differ", "of a test")
    expect(page.locator("#banners button")).to_have_count(0)


def test_until_it_has_proven_itself_it_says_so_and_answers_no_film(written, no_engine, host, open_page, films):
    engine = no_engine / "engine" / "index.js"
    wait = "while (!globalThis.go) await new Promise((done) => setTimeout(done, 20));"
    waiting = f"export async function load(url) {{\n  {wait}"
    engine.write_text(engine.read_text().replace("export async function load(url) {", waiting))
    page = open_page(host(written()).url, ready=False)
    expect(page.locator("#model-line")).to_have_text("proving itself in this browser …")
    expect(page.locator("#status")).to_contain_text("Proving itself in this browser: no film is answered before")
    page.set_input_files("#file", films(1))
    expect(page.locator("#status")).to_contain_text("being read")
    expect(page.locator("#result")).to_be_hidden()
    page.evaluate("globalThis.go = true")
    expect(page.locator("#decision")).to_be_visible()


def test_without_digests_it_answers_nothing(written, host, open_page, films):
    page = open_page(host(written()).url, ready=False)
    page.add_init_script("Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })")
    page.reload()
    refused(page, films, "This page cannot prove itself here", "https://")


def test_where_its_scripts_do_not_run_it_says_how_to_open_it(written, host, open_page):
    page = open_page(host(written()).url, ready=False, java_script_enabled=False)
    expect(page.locator(".unserved")).to_be_visible()
    expect(page.locator(".unserved")).to_contain_text("python -m http.server")


# --- versions ---


def test_another_version_at_the_address_is_noticed_and_a_press_brings_it(written, host, open_page, films):
    site = written()
    served = host(site)
    page = open_page(served.url)
    kept(page)
    page.close()
    written("other", threshold=1.5)
    again = open_page(served.url, ready=False, context=page.context)
    refused(again, films, "Files of different versions", "site.json")
    again.click("#banners button")
    expect(again.locator("#facts")).to_contain_text("answered as recorded")
    again.set_input_files("#file", films(1))
    expect(again.locator("#margin")).to_contain_text("threshold +1.500")


def test_a_page_that_stays_open_answers_no_more_once_another_version_has_taken_over(written, host, open_page, films):
    served = host(written())
    page = open_page(served.url)
    kept(page)
    page.reload()
    kept(page)
    written("other", threshold=1.5)
    page.evaluate(
        """async () => {
          const changed = new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done));
          await (await navigator.serviceWorker.getRegistration()).update();
          await changed;
        }"""
    )
    page.set_input_files("#file", films(1))
    expect(page.locator("#error")).to_contain_text("Another version of this page has arrived")


@pytest.mark.parametrize("path", ["model.tflite", "static/words.js", "golden/00.png"])
def test_a_stale_file_of_the_cache_is_noticed(written, host, open_page, films, path):
    served = host(written())
    page = open_page(served.url)
    kept(page)
    page.evaluate(
        """async (path) => {
          const [name] = await caches.keys();
          const cache = await caches.open(name);
          const old = await (await cache.match(path)).arrayBuffer();
          const type = path.endsWith("js") ? "text/javascript" : "application/octet-stream";
          await cache.put(path, new Response(new Blob([old, "\\n"], { type })));
        }""",
        path,
    )
    for _ in range(2):  # and without a network, too
        page.reload()
        refused(page, films, "Files of different versions", path)
        page.context.set_offline(True)
    page.context.set_offline(False)
    page.click("#banners button")
    expect(page.locator("#facts")).to_contain_text("answered as recorded")


def test_a_login_page_in_the_place_of_site_json_does_not_stop_what_is_kept(written, host, open_page, films):
    site = written()
    served = host(site)
    page = open_page(served.url)
    kept(page)
    (site / "site.json").write_text("<html>log in</html>")
    page.reload()
    expect(page.locator("#facts")).to_contain_text("answered as recorded")


def test_two_pages_of_one_origin_keep_their_own(written, no_engine, provable_bundle, host, open_page, tmp_path):
    for name in ("a", "b"):
        write_page(PageConfig(bundle=provable_bundle(f"bundle-{name}"), out=tmp_path / "sites" / name))
    served = host(tmp_path / "sites")
    first = open_page(served.url, "a/")
    kept(first)
    second = open_page(served.url, "b/", context=first.context)
    kept(second)
    names = second.evaluate("caches.keys()")
    assert sorted(name.split()[1] for name in names) == ["/a/", "/b/"]
