"""A request that names a part of the project is about that part."""

from pathlib import Path

import pytest

from orchestrator.agents.survey.assignment import SurveyTask, WorkerSurroundings
from orchestrator.agents.survey.request.named_places import named_places
from orchestrator.agents.survey.result.result_file import read_result
from orchestrator.agents.survey.worker import survey
from tests.unit.agents.survey.trees import plant

FILES = ("README.md", "docs/a.md", "src/flask/app.py", "src/flask/views.py", "repository/x.py")


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("Survey the docs", ("docs",)),
        ("Survey everything below docs/.", ("docs",)),
        ("Map src/flask and the docs", ("src/flask", "docs")),
        ("What does src/flask/app.py do?", ("src/flask/app.py",)),
        ("Survey this repository", ()),
        ("Survey the tests", ()),
        ("Survey the docs and the authentication", ()),
        ("hello", ()),
        ("", ()),
    ],
)
def test_a_place_is_what_is_there_and_what_nothing_else_is_asked_beside(
    words: str, places: tuple[str, ...]
) -> None:
    assert named_places(words, FILES) == places


def test_only_the_place_that_is_named_is_surveyed(tmp_path: Path) -> None:
    root = plant(tmp_path / "project", dict.fromkeys(FILES, "x = 1\n"))
    directory = tmp_path / "worker_1"
    directory.mkdir()

    assert (
        survey(SurveyTask(prompt="Survey src/"), WorkerSurroundings(root=root, directory=directory))
        == []
    )

    assert read_result(directory).totals.files == 2
    assert (directory / "output.md").read_text().startswith("# Survey of `src`")
