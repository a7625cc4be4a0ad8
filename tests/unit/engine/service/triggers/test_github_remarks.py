"""Requests to a worker in events of GitHub."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.service.triggers.github_remarks import Remark, remark_of

FIXTURES = Path(__file__).parents[4] / "fixtures" / "github"


def event(name: str, **values: str) -> tuple[str, Any]:
    text = (FIXTURES / f"{name}.json").read_text()
    for old, new in values.items():
        assert old in text
        text = text.replace(old, new)
    return name.partition(".")[0], json.loads(text)


def remark(name: str, **values: str) -> Remark:
    found = remark_of(*event(name, **values))
    assert isinstance(found, Remark), found
    return found


def test_a_review_is_a_remark_on_the_whole_change() -> None:
    found = remark("pull_request_review.submitted", HEAD_BRANCH="b")
    assert (found.branch, found.commit, found.path) == ("b", "HEAD_COMMIT", "")
    assert found.text.startswith("@Codertocat requests changes:\nNearly there")


def test_a_comment_has_its_place_and_its_code() -> None:
    found = remark("pull_request_review_comment.created")
    assert (found.path, found.line, found.end_line, found.is_old) == ("made.txt", 1, 1, False)
    assert found.as_text() == (
        "made.txt:1 (commit HEAD_COMMIT)\n@@ -1 +1 @@\n-# Hello\n+made by worker\n"
        "@Codertocat:\nSay who it was made for."
    )


def test_a_comment_on_removed_lines_has_their_former_place() -> None:
    values = {'"line": 1': '"line": null', '"original_line": 1': '"original_line": 4'}
    assert remark("pull_request_review_comment.created", **values).line == 4


@pytest.mark.parametrize(
    "values",
    [
        {'"line": 1': '"line": null', '"original_line": 1': '"original_line": null'},
        {'"subject_type": "line"': '"subject_type": "file"'},
    ],
)
def test_a_comment_on_a_whole_file_names_the_file(values: dict[str, str]) -> None:
    found = remark("pull_request_review_comment.created", **values)
    assert (found.path, found.line) == ("made.txt", 0)
    assert found.as_text() == (
        "made.txt (commit HEAD_COMMIT)\n@Codertocat:\nSay who it was made for."
    )


def test_a_failed_check_has_its_output() -> None:
    found = remark("check_run.completed", HEAD_BRANCH="b")
    assert found.branch == "b"
    assert "The check unit tests failed (failure): https://github.com/" in found.text
    assert "2 tests failed\ntest_readme: expected" in found.text


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("pull_request_review.submitted", {"changes_requested": "approved"}, "state approved"),
        ("pull_request_review.submitted", {'"OWNER"': '"NONE"'}, 'role "none", but must be owner'),
        ("pull_request_review.submitted", {'"body": "Nearly': '"body": null, "x": "'}, "no text"),
        ("pull_request_review_comment.created", {'"OWNER"': '"CONTRIBUTOR"'}, "must be owner"),
        ("pull_request_review_comment.created", {'"created"': '"deleted"'}, "is not a review"),
        ("check_run.completed", {'"conclusion": "failure"': '"conclusion": "success"'}, "success"),
        ("issues.labeled", {}, "issues labeled is not a review, comment, or completed check"),
    ],
)
def test_other_events_ask_nothing(name: str, values: dict[str, str], why: str) -> None:
    found = remark_of(*event(name, **values))
    assert isinstance(found, str) and why in found


@pytest.mark.parametrize("document", [None, [], {}, {"action": "created", "comment": 1}])
def test_odd_events_harm_nothing(document: object) -> None:
    for kind in ("check_run", "pull_request_review", "pull_request_review_comment"):
        assert isinstance(remark_of(kind, document), str)
