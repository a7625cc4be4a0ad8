"""Requests that clearly ask for a change of files, or for an answer.

A missing change is a failure, so unclear requests must not count as requests for a change.
"""

import pytest

from orchestrator.core.model.attempt.delivered_work import Intent
from orchestrator.core.model.job import TaskSpec
from orchestrator.engine.attempts.task_intent import intent_of, intent_of_task
from orchestrator.engine.planning.rule_planner import split

CHANGES = [
    "Add a login form",
    "Please add a health endpoint",
    "Could you please rename the User model to Account?",
    "I want you to build a landing page",
    "We need to support webhooks",
    "Implement OAuth login",
    "Fix the failing tests",
    "fix bug #123 in the scheduler",
    "Refactor the payment module",
    "Migrate the database from MySQL to PostgreSQL",
    "Set up CI with GitHub Actions",
    "Remove dead code",
    "Remove the tests of the old parser",
    "Write unit tests for the parser",
    "Write docs/guide.md",
    "Write a report to `docs/report.md`",
    "Create a todo app in React",
    "Build a shop with a cart, a catalog and payments",
    "Make the button blue",
    "Make the CLI faster",
    "Read docs/spec.md and implement it",
    "Look at app.py, then add a docstring to each function",
    "Review the code and add the missing tests",
    "The login form is missing. Add it.",
    "Explain the bug. Then fix it.",
    "Add a login form. Keep it small, and do not change the tests. Thank you!",
    "1. Add a login form\n2. Explain how it works",
    "Improve error handling in the client",
    "Generate an OpenAPI client",
    "I want a shopping app",
    "Convert the JavaScript files to TypeScript",
    "Help me write a parser for TOML",
    "Add a login form without any new dependency",
    "Create a report page that lists open invoices",
    "Implement multiply in calc",
    "Reduce the memory that the parser needs",
    "Switch the build to uv",
    "Handle empty input in calc",
    "Put a license header into each file",
    "Finish the parser",
    "Bring the tests up to date",
    "Get the tests to pass",
    "Make multiply work",
]
ANSWERS = [
    "Explain how the build system works",
    "Explain how login works. Do not add anything.",
    "Explain how create, update and delete work",
    "Describe how users create the order and update the cart",
    "Review the login code",
    "Review src/app.py and report what you find",
    "Why does the login fail?",
    "Why does `add()` fail when I remove a user?",
    "How do I add a login form?",
    "How to add a cache",
    "Best way to add caching",
    "What does this module do?",
    "Is the cache safe to share between threads?",
    "List all TODOs",
    "List the tests to remove",
    "Summarize the changes since the last release",
    "Write a summary of the API",
    "Create a short overview of the architecture",
    "Write a test plan for the login form",
    "Give me a list of functions that are never called",
    "Suggest three ways to improve the error handling",
    "Tell me how you would add dark mode",
    "Run the tests and report the result",
    "Check whether the docs match the code",
    "Verify that the release builds",
    "Find out where sessions are stored",
    "Survey this repository and list its entry points",
    "Please explain the code. Thank you!",
    "Add a cache? Do not change any files yet, only say where it belongs.",
    "Fix nothing; no changes. What is wrong in app.py?",
    "Show me the code that adds users",
    "Compare both parsers and recommend one",
    "Can you explain the retry logic?",
    "Audit the dependencies for known vulnerabilities",
    "Check that multiply works",
    "Give examples of good tests",
    "Validate the configuration",
    "Complete the report on the API",
]
UNCLEAR = [
    "",
    "Thank you very much.",
    "Dark mode",
    "echo done",
    "Can we add dark mode?",
    "Run the tests and fix any failures",
    "Review the code and fix all bugs you find",
    "Find out why the tests fail and fix them",
    "Update the docs if needed",
    "Check the docs; update them where necessary",
    "Remove any unused imports",
    "Add any missing tests",
    "Explain the bug in app.py and fix it",
    "Write a haiku about the server",
    "Translate this sentence to German: the server is on fire",
    "Add 2 and 3",
    "Update me on the state of the release",
    "Use TypeScript",
    "Füge ein Anmeldeformular hinzu",
    "ログインフォームを追加して",
    "Write a commit message for the staged changes",
    "Give calc a multiply function",
    "Validate the input of the form",
    "Put your findings in order",
    "Get the tests to pass if possible",
]


@pytest.mark.parametrize("text", CHANGES)
def test_a_clear_request_for_a_change_has_that_intent(text: str) -> None:
    assert intent_of(text) is Intent.CHANGE


@pytest.mark.parametrize("text", ANSWERS)
def test_a_request_for_an_answer_has_that_intent(text: str) -> None:
    assert intent_of(text) is Intent.ANSWER


@pytest.mark.parametrize("text", UNCLEAR)
def test_a_request_that_needs_no_change_is_unclear(text: str) -> None:
    assert intent_of(text) is Intent.UNCLEAR


@pytest.mark.parametrize(
    "text",
    [
        "Why does this fail?\n```\nadd(user)\nRemove the lock file\n```",
        "What does this log say?\n> Add a login form\n> Fix the tests",
        'Explain the message "Add a login form to src/app.py"',
    ],
)
def test_quotes_and_blocks_of_code_ask_for_nothing(text: str) -> None:
    assert intent_of(text) is Intent.ANSWER


def test_each_item_of_a_list_has_its_own_intent() -> None:
    request = "Improve the login code:\n\n- Review the form for missing checks\n- Add a test of it"
    found = [intent_of_task(task) for task in split(request).tasks]
    assert found == [Intent.ANSWER, Intent.CHANGE]


def test_each_part_of_a_product_is_to_be_built() -> None:
    tasks = split("Build a shop with a cart, a catalog and payments").tasks
    assert len(tasks) == 3
    assert {intent_of_task(task) for task in tasks} == {Intent.CHANGE}


@pytest.mark.parametrize(
    ("task", "intent"),
    [
        (TaskSpec(id="a", prompt="Add a form", role="reviewer"), Intent.ANSWER),
        (TaskSpec(id="a", command="make form"), Intent.ANSWER),
        (TaskSpec(id="a", title="Fix the docs", prompt="Check the docs"), Intent.ANSWER),
        (TaskSpec(id="a", title="Review", prompt="Add a test"), Intent.UNCLEAR),
        (TaskSpec(id="a", title="Login form", prompt="Add a form to app.py"), Intent.CHANGE),
        (TaskSpec(id="a", title="Add a form", prompt="As in the design"), Intent.CHANGE),
        (
            TaskSpec(id="a", title="Add a form", prompt="As in the design, if needed"),
            Intent.UNCLEAR,
        ),
        (TaskSpec(id="a", title="Add a form", prompt="Run the tests"), Intent.ANSWER),
        (TaskSpec(id="a", title="Fix the tests", prompt="Fix whatever fails"), Intent.UNCLEAR),
    ],
)
def test_the_title_and_the_role_of_a_task_count_too(task: TaskSpec, intent: Intent) -> None:
    assert intent_of_task(task) is intent


def test_a_very_long_request_is_judged_at_once() -> None:
    assert intent_of("Add" + " " * 1_000_000 + "it") is Intent.UNCLEAR
    assert intent_of("a, " * 300_000) is Intent.UNCLEAR
    assert intent_of("and then " * 100_000) is Intent.UNCLEAR
    assert intent_of("Add a form " + "without any " * 100_000) is not Intent.ANSWER
