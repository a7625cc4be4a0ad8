"""Requests that ask for a build, and the words that name their subject.

A request that names a part of the project is about that part.
"""

from pathlib import Path

import pytest

from orchestrator.agents.survey.analysis.result import read_result
from orchestrator.agents.survey.assignment.request_analysis import (
    NOTHING_BUILT,
    keywords,
    may_ask_to_build,
    related,
    requested_paths,
    stem,
)
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment, SurveyTask
from orchestrator.agents.survey.survey_worker import survey
from tests.unit.agents.survey.trees import plant

BUILDS = [
    "Build a REST API with authentication, user management and CRUD",
    "Create a todo app in React",
    "Implement OAuth login",
    "Add dark mode to the settings page",
    "Please add a health endpoint",
    "Write unit tests for the parser",
    "Fix the failing tests",
    "fix bug #123 in the scheduler",
    "Refactor the payment module",
    "Migrate the database from MySQL to PostgreSQL",
    "Upgrade Django to 5.2",
    "Could you please rename the User model to Account?",
    "I want you to build a landing page",
    "We need to support webhooks",
    "Make the CLI faster",
    "Set up CI with GitHub Actions",
    "Remove dead code",
    "Translate the README to German",
    "Convert the JavaScript files to TypeScript",
    "A REST API with authentication",
    "A small web app that tracks expenses",
    "Review the code and fix all bugs you find",
    "Analyse the performance, then optimize the slow queries",
    "Let's develop a chat server",
    "Update dependencies",
    "Generate an OpenAPI client",
    "Dockerize this application",
    "Build a survey page for our customers",
    "Create a report page that lists open invoices",
    "Design and implement a plugin system",
    "1. Add a login form\n2. Add a logout button",
    "Now improve error handling in the client",
    "Replace print statements with logging",
    "Help me write a parser for TOML",
    "Deploy the app to Kubernetes",
]
#: Requests that do not clearly ask only for information.
UNCLEAR = [
    "do it",
    "Dark mode",
    "login bug",
    "The login page is broken",
    "Rate limits for the API",
    "Bitte baue ein Login ein",
    "日本語のログインページ",
]
LOOKS = [
    "Survey this repository",
    "Survey this repository and list its entry points",
    "Map the code base",
    "Review the security of the login code",
    "Explain how the build system works",
    "Analyse the architecture",
    "analyze test coverage and summarize the results",
    "List all TODOs",
    "Count the lines of code per language",
    "Document what exists",
    "Describe the public API of src/flask",
    "What does this project do?",
    "Where is authentication implemented?",
    "How are migrations created?",
    "Show me the most imported modules",
    "Find all places where tokens are created",
    "Summarise the tests",
    "Write a report about the dependencies",
    "Create an overview of the modules",
    "Make a list of all endpoints",
    "Build a map of the repository",
    "Give me an inventory of the configuration files",
    "Please explain the scheduler",
    "Compare the two implementations of the cache",
    "Which files change most often?",
    "Tell me who owns the payment module",
    "Analyze the test coverage and the flaky tests",
    "overview of the code",
    "Please: an overview of this project",
    "src/flask docs/a.md",
    "src/ docs/",
    "",
    "   \n",
]


@pytest.mark.parametrize("request_text", [*BUILDS, *UNCLEAR])
def test_a_request_may_ask_to_build_unless_it_clearly_asks_for_information(
    request_text: str,
) -> None:
    assert may_ask_to_build(request_text)


@pytest.mark.parametrize("request_text", LOOKS)
def test_a_request_to_inspect_existing_code_does_not_ask_to_build(request_text: str) -> None:
    assert not may_ask_to_build(request_text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Build a REST API with authentication", ["api", "authentication"]),
        ("Please add user management and payments", ["user", "payments"]),
        ("Fix it", []),
        ("Login, login and LOGIN", ["login"]),
        ("$(rm -rf /) `x` \U0001f600", ["rm", "rf"]),
    ],
)
def test_keywords_are_the_words_of_a_text_that_name_its_subject(
    text: str, expected: list[str]
) -> None:
    assert keywords(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("sessions", "session"), ("users", "user"), ("caching", "cache"), ("queries", "query")],
)
def test_forms_of_one_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_authentication_is_related_to_the_names_that_code_uses() -> None:
    stems = related(["authentication"])
    names = ("auth", "login", "session", "token", "user", "password", "permission")
    assert {stem(word) for word in names} <= stems.keys()
    assert set(stems.values()) == {"authentication"}


def test_the_message_that_nothing_was_built_explains_how_to_connect_an_agent() -> None:
    assert NOTHING_BUILT.startswith("Nothing was built")
    assert "config.yaml" in NOTHING_BUILT and "--agent claude" in NOTHING_BUILT
    # A known tool is not described again in config.yaml.
    assert "`bin/orchestrator agents`" in NOTHING_BUILT and "claude:" not in NOTHING_BUILT


def test_a_huge_request_is_judged_at_once() -> None:
    assert may_ask_to_build("Build" + " " * 1_000_000 + "it")
    assert not may_ask_to_build("survey " * 200_000)


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
def test_a_named_place_exists_and_is_all_that_the_request_is_about(
    words: str, places: tuple[str, ...]
) -> None:
    assert requested_paths(words, FILES) == places


def test_only_the_place_that_is_named_is_surveyed(tmp_path: Path) -> None:
    root = plant(tmp_path / "project", dict.fromkeys(FILES, "x = 1\n"))
    directory = tmp_path / "worker_1"
    directory.mkdir()

    assert (
        survey(SurveyTask(prompt="Survey src/"), SurveyEnvironment(root=root, directory=directory))
        == []
    )

    assert read_result(directory).totals.files == 2
    assert (directory / "output.md").read_text().startswith("# Survey of `src`")
