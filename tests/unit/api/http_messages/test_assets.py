"""The dashboard's files: addresses with a version, and modules that a page preloads."""

import gzip
import re
from http import HTTPStatus

from flask.testing import FlaskClient

from orchestrator.api.http_messages import assets


def versioned(page: str, name: str) -> str:
    found = re.search(rf'"(/static/v/\w+/{re.escape(name)})"', page)
    assert found is not None, name
    return found[1]


def test_browsers_cache_a_file_until_it_changes(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, assets.SCRIPT)
    response = anonymous.get(address)
    assert response.status_code == HTTPStatus.OK
    assert "immutable" in response.headers["Cache-Control"]
    old = address.replace(assets.version(), "0" * 12)
    assert anonymous.get(old).headers["Cache-Control"] == "no-cache"


def test_all_modules_are_one_file(anonymous: FlaskClient) -> None:
    page = anonymous.get("/jobs/e43534f6/table").text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) < 6
    for address in addresses:
        assert anonymous.get(address).status_code == HTTPStatus.OK
    script = anonymous.get(versioned(page, assets.SCRIPT))
    assert script.mimetype == "text/javascript"
    for path in (assets.STATIC / "app").rglob("*.js"):
        assert f"// {path.relative_to(assets.STATIC)}\n" in script.text
    assert not re.search(r"^(import|export)\b|sourceMappingURL", script.text, re.M)


def test_all_stylesheets_are_one_file(anonymous: FlaskClient) -> None:
    style = anonymous.get(versioned(anonymous.get("/").text, assets.STYLESHEET))
    assert style.mimetype == "text/css"
    for path in (assets.STATIC / "styles").iterdir():
        assert path.read_text().rstrip() in style.text, path.name


def test_a_browser_with_a_session_loads_it_with_the_files(anonymous: FlaskClient) -> None:
    link = 'rel="preload" as="fetch" href="/api/v1/session"'
    without = anonymous.get("/")
    assert link not in without.text
    assert set(without.vary) >= {"Accept", "Cookie"}
    anonymous.set_cookie("orchestrator_session", "a-cookie")
    assert link in anonymous.get("/").text


def test_no_file_outside_is_served(anonymous: FlaskClient) -> None:
    for name in ("../app.py", "%2e%2e/server/app.py", "app/../../options.py"):
        answer = anonymous.get(f"/static/v/{assets.version()}/{name}")
        assert answer.status_code == HTTPStatus.NOT_FOUND


def test_files_are_compressed_for_callers_that_accept_it(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, assets.SCRIPT)
    for path in (address, "/static/vendor/swagger-ui.css", "/docs", "/"):
        plain = anonymous.get(path)
        packed = anonymous.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers.getlist("Vary")
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
        assert gzip.decompress(packed.data) == plain.data


def test_a_compressed_file_is_not_sent_to_a_caller_that_has_it(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, assets.SCRIPT)
    accepts = {"Accept-Encoding": "gzip"}
    tag = anonymous.get(address, headers=accepts).headers["ETag"]
    again = anonymous.get(address, headers={**accepts, "If-None-Match": tag})
    assert (again.status_code, again.data) == (HTTPStatus.NOT_MODIFIED, b"")
    assert tag == again.headers["ETag"] == anonymous.get(address).headers["ETag"]
    part = anonymous.get("/static/loading.js", headers={**accepts, "Range": "bytes=0-9"})
    assert (part.status_code, len(part.data)) == (HTTPStatus.PARTIAL_CONTENT, 10)
