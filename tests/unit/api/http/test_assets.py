"""The dashboard's files: versioned addresses, modules named in advance."""

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
