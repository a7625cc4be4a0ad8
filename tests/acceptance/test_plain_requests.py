"""A request without options, in a real repository, for an agent that only writes text."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.embedding import copy_product, run
from tests.support.examples import nightly
from tests.support.project import Project

pytestmark = pytest.mark.slow

#: Output of each agent. The agent ``worker`` also prints the required form.
WORDS = {
    "liar": "I added the login form. All tests pass.",
    "cook": "You could add this code to app.py:\n\n```python\ndef login(): ...\n```",
    "asker": "There are two templates. Which one should I use?",
    "finder": "The login form already exists in app.py; there is nothing to do.",
    "reader": "It maps each URL to a view. Would you like me to explain more?",
    "worker": "Done. Let me know if you want a test, too.",
}
ASKS = "Add a login form"
Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("plain") / "host").begin({"app.py": "x = 1\n"})
    folder = copy_product(project.path)
    (project.path / ".git" / "info").mkdir(exist_ok=True)
    (project.path / ".git" / "info" / "exclude").write_text("/orchestrator/\n")
    agents = {name: {"command": ["printf", "%s\\n", words]} for name, words in WORDS.items()}
    done = f"echo '<form>' > login.txt; echo '{WORDS['worker']}'"
    agents["worker"] = {"command": ["sh", "-c", done]}
    with (folder / "config.yaml").open("a") as config:
        config.write(f"agents: {json.dumps(agents)}\nworkers: {{max_retries: 2}}\n")
    return project.path


@pytest.fixture
def ask(host: Path) -> Ask:
    def ask(agent: str, request: str, *more: str) -> subprocess.CompletedProcess[str]:
        tool = host / "orchestrator/bin/orchestrator"
        return run(tool, "run", "--agent", agent, *more, request, cwd=host)

    return ask


def final(host: Path, answer: dict[str, str]) -> str:
    place = host / "orchestrator/workspace" / f"job_{answer['job_id']}"
    return (place / "FINAL_RESULT.md").read_text()


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("liar", "no file was changed"),
        *nightly(("cook", "no file was changed"), ("asker", "Which one should I use?")),
    ],
)
def test_a_worker_that_only_talks_fails_after_a_second_attempt(
    ask: Ask, agent: str, expected: str
) -> None:
    done = ask(agent, ASKS, "--json")
    answer = json.loads(done.stdout)
    [row] = answer["results"]["tasks"]

    assert (done.returncode, answer["status"], row["attempts"]) == (1, "failed", 2), answer
    assert expected in row["reason"]


def test_a_recipe_has_failed_also_if_the_request_is_unclear(ask: Ask) -> None:
    done = ask("cook", "Dark mode", "--json")
    [row] = json.loads(done.stdout)["results"]["tasks"]

    assert done.returncode == 1
    assert "describes the work" in row["reason"]


@pytest.mark.parametrize(("agent", "request_"), [("finder", ASKS), *nightly(("liar", "Dark mode"))])
def test_answer_report_and_status_state_that_nothing_was_changed(
    ask: Ask, host: Path, agent: str, request_: str
) -> None:
    done = ask(agent, request_, "--json")
    answer = json.loads(done.stdout)

    assert (done.returncode, answer["status"]) == (0, "completed"), answer
    assert answer["reason"] == "nothing was changed by worker_1"
    assert answer["changed_nothing"] == ["worker_1"]
    title = final(host, answer).splitlines()[0]
    assert title.endswith("but nothing was changed"), title
    status = run(host / "orchestrator/bin/orchestrator", "status", answer["job_id"], cwd=host)
    assert (status.returncode, "nothing was changed by worker_1" in status.stdout) == (0, True)


@pytest.mark.nightly
def test_a_run_that_changed_nothing_ends_with_a_note(ask: Ask) -> None:
    shown = ask("finder", ASKS)

    assert shown.returncode == 0 and "completed" in shown.stdout, shown.stdout
    *_, note, command = shown.stdout.splitlines()
    assert note == "Note: nothing was changed by worker_1"
    assert command.startswith("to show the report: orchestrator/bin/orchestrator report ")


@pytest.mark.parametrize(
    ("agent", "request_"),
    [
        ("worker", ASKS),
        *nightly(("reader", "Explain how the views work"), ("cook", "How do I add a login form?")),
    ],
)
def test_good_work_is_completed_without_a_reason(
    ask: Ask, host: Path, agent: str, request_: str
) -> None:
    done = ask(agent, request_, "--json")
    answer = json.loads(done.stdout)

    assert (done.returncode, answer["status"], answer["reason"]) == (0, "completed", ""), answer
    assert "nothing was changed" not in final(host, answer)


def test_a_request_without_work_is_rejected(ask: Ask) -> None:
    for courtesy in ("Please keep it small and tidy.", "Thank you very much."):
        done = ask("worker", courtesy)
        assert (done.returncode, "describe the work" in done.stderr) == (2, True), done.stderr


@pytest.mark.nightly
def test_without_git_words_alone_fail_and_code_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = 1\n")
    folder = copy_product(tmp_path)
    does = "echo 'y = 2' > login.py; echo Done."
    agents = {"liar": {"command": ["printf", "%s\\n", WORDS["liar"]]}}
    agents["coder"] = {"command": ["sh", "-c", does]}
    with (folder / "config.yaml").open("a") as config:
        config.write(f"agents: {json.dumps(agents)}\nworkers: {{max_retries: 0}}\n")
    tool = folder / "bin/orchestrator"

    lied = run(tool, "run", "--agent", "liar", ASKS, cwd=tmp_path)
    done = run(tool, "run", "--agent", "coder", ASKS, cwd=tmp_path)

    assert (lied.returncode, done.returncode) == (1, 0), done.stdout
    assert "no file was changed" in lied.stdout
    why = "not judged: gates do not check work without a worktree: worker_1 changed login.py"
    assert f" Note: {why} to show the report: " in " ".join(done.stdout.split())
