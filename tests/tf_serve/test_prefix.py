"""The server below a path: whatever the proxy takes off, pages, their files and every address answer."""

import re

import pytest

from tbconv.contract.errors import ConfigError
from tf_serve.settings import Settings, is_prefix

PREFIX = "/xray"


def links_of(page):
    return re.findall(r'(?:href|src)="([^"#]+)"', page)


def test_links_of_the_pages_lead_to_files_that_are_there_with_and_without_a_trailing_slash(make_bundle, serve):
    with serve(make_bundle(), root_path=PREFIX) as client:
        for place in (PREFIX, f"{PREFIX}/", f"{PREFIX}/model", f"{PREFIX}/docs", "/", "/model", "/docs"):
            page = client.get(place)
            assert page.status_code == 200
            links = links_of(page.text)
            assert len(links) > 6
            for link in links:
                assert link.startswith(f"{PREFIX}/"), link
                assert client.get(link).status_code == 200, link
                assert client.get(link.removeprefix(PREFIX)).status_code == 200, link  # a proxy that takes it off
        assert client.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]


def test_a_proxy_names_the_prefix_by_a_header_whether_it_takes_it_off_or_not(client, film):
    header = {"x-forwarded-prefix": f"{PREFIX}/"}
    for place in ("/", "/model", "/docs", PREFIX, f"{PREFIX}/model", f"{PREFIX}/docs"):
        page = client.get(place, headers=header)
        assert page.status_code == 200
        assert all(link.startswith(f"{PREFIX}/") for link in links_of(page.text))
    for place in (f"{PREFIX}/static/page.js", f"{PREFIX}/v2/health/live", f"{PREFIX}/api/v1/model"):
        assert client.get(place, headers=header).status_code == 200
        assert client.get(place).status_code == 404
    assert client.post(f"{PREFIX}/api/v1/screen", content=film, headers=header).json()["status"] == "ok"


def test_without_a_prefix_links_are_relative_so_a_proxy_that_says_nothing_needs_no_option(client):
    for place in ("/", "/model", "/docs"):
        links = links_of(client.get(place).text)
        assert len(links) > 6
        assert not [link for link in links if link.startswith("/") or "//" in link]
        assert all(client.get(link.removeprefix("./") if link != "./" else "/").status_code == 200 for link in links)


def test_a_prefix_that_is_none_or_an_address_of_its_own_is_not_followed(client):
    for said in (
        "//evil.example",
        "/a//b",
        "/a b",
        '/"><script>',
        "https://evil.example",
        "/v2",
        "/static/x",
        "x",
        "/..",
    ):
        page = client.get("/", headers={"x-forwarded-prefix": said})
        assert (page.status_code, "evil" in page.text, "<script>" in page.text) == (200, False, False)
        assert client.get("/v2/health/live", headers={"x-forwarded-prefix": said}).status_code == 200


def test_the_token_is_needed_below_a_prefix_too(make_bundle, serve, film):
    with serve(make_bundle(), token="secret", wait=False) as client:
        for headers in ({}, {"x-forwarded-prefix": PREFIX}, {"x-forwarded-prefix": "/v2/health"}):
            for place in ("/api/v1/model", f"{PREFIX}/api/v1/model", "/v2/health/api/v1/model"):
                assert client.get(place, headers=headers).status_code in (401, 404), (place, headers)


@pytest.mark.parametrize("path", ["xray", "/v2", "/docs", "/api/x", "//x", "/x y", "/../x", "/x/"])
def test_a_root_path_that_cannot_be_one_is_refused(tmp_path, path):
    assert not is_prefix(path)
    with pytest.raises(ConfigError, match="--root-path"):
        Settings(root=tmp_path, root_path=path)
