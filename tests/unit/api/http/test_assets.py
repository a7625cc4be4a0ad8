"""The dashboard's files: versioned addresses, modules named in advance."""

import gzip
import re
from http import HTTPStatus

from flask.testing import FlaskClient

from orchestrator.api.http import assets


def versioned(page: str, name: str) -> str:
    found = re.search(rf'"(/static/v/\w+/{re.escape(name)})"', page)
    assert found is not None, name
    return found[1]


def test_a_file_is_kept_by_browsers_until_it_changes(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, "app/main.js")
    kept = anonymous.get(address)
    assert kept.status_code == HTTPStatus.OK
    assert "immutable" in kept.headers["Cache-Control"]
    old = address.replace(assets.version(), "0" * 12)
    assert anonymous.get(old).headers["Cache-Control"] == "no-cache"


def test_a_page_names_the_modules_that_it_imports(anonymous: FlaskClient) -> None:
    start, job = anonymous.get("/").text, anonymous.get("/jobs/e43534f6/table").text
    for name in ("app/core/html.js", "app/pages/jobs.js", "vendor/preact.js"):
        versioned(start, name)
    versioned(job, "app/job/model.js")
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', job):
        assert anonymous.get(address).status_code == HTTPStatus.OK


def test_no_file_outside_is_served(anonymous: FlaskClient) -> None:
    for name in ("../app.py", "%2e%2e/server/app.py", "app/../../options.py"):
        answer = anonymous.get(f"/static/v/{assets.version()}/{name}")
        assert answer.status_code == HTTPStatus.NOT_FOUND


def test_files_are_compressed_for_callers_that_accept_it(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, "app/main.js")
    for path in (address, "/static/vendor/swagger-ui.css", "/docs", "/"):
        plain = anonymous.get(path)
        packed = anonymous.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers.getlist("Vary")
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
        assert gzip.decompress(packed.data) == plain.data


def test_a_compressed_file_is_not_sent_to_a_caller_that_has_it(anonymous: FlaskClient) -> None:
    address = versioned(anonymous.get("/").text, "app/main.js")
    accepts = {"Accept-Encoding": "gzip"}
    tag = anonymous.get(address, headers=accepts).headers["ETag"]
    again = anonymous.get(address, headers={**accepts, "If-None-Match": tag})
    assert (again.status_code, again.data) == (HTTPStatus.NOT_MODIFIED, b"")
    assert tag == again.headers["ETag"] == anonymous.get(address).headers["ETag"]
    part = anonymous.get(address, headers={**accepts, "Range": "bytes=0-9"})
    assert (part.status_code, len(part.data)) == (HTTPStatus.PARTIAL_CONTENT, 10)
