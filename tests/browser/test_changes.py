"""The changes of a job: comments that come back as one more attempt, candidates, a conflict."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.site import Site, new_site, shell
from tests.integration.engine.feedback.reviewed import settings, write

ENDED_MS = 30_000.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the agent ``writer``, whose mistake a comment corrects."""
    folder = tmp_path_factory.mktemp("changes")
    made = new_site(folder, agents=settings(folder))
    yield made
    made.server.stop()


@pytest.fixture
def person(chromium: Browser, own: Site) -> Iterator[Page]:
    with chromium.new_context(viewport={"width": 1280, "height": 860}) as context:
        page = context.new_page()
        own.log_in(page)
        yield page


def test_a_comment_becomes_a_second_attempt_that_is_landed(person: Page, own: Site) -> None:
    job = own.job([write()])
    person.goto(f"{own.url}/jobs/{job}/changes?worker=worker_1")
    person.get_by_role("row", name="answer = 41").hover()
    person.get_by_role("button", name="Comment on line 2").click()
    person.get_by_label("Comment", exact=True).fill("use 42")
    person.get_by_role("button", name="Add comment").click()
    person.reload()
    expect(person.get_by_text("1 comment", exact=True)).to_be_visible()

    person.get_by_role("button", name="Send back").click()

    expect(person.get_by_role("cell", name="answer = 42")).to_be_visible(timeout=ENDED_MS)
    with own.client() as client:
        client.wait(job, timeout=60)
    prompts = list(own.server.folder.rglob("seen-2.md"))
    assert "`answer.txt`, line 2" in prompts[0].read_text()
    person.goto(f"{own.url}/jobs/{job}")
    person.get_by_role("button", name="Land", exact=True).click()
    person.get_by_role("dialog").get_by_role("button", name="Land").click()
    expect(person.get_by_text("Landed on main")).to_be_visible(timeout=ENDED_MS)
    assert "answer = 42" in (own.project.path / "answer.txt").read_text()


def test_comments_on_an_older_state_are_not_sent(person: Page, own: Site) -> None:
    job = own.job([write("other.txt")])
    person.goto(f"{own.url}/jobs/{job}/changes?worker=worker_1")
    person.get_by_role("row", name="answer = 41").hover()
    person.get_by_role("button", name="Comment on line 2").click()
    person.get_by_label("Comment", exact=True).fill("use 42")
    person.get_by_role("button", name="Add comment").click()
    branch = f"orchestrator/{job}/worker_1"
    tree = own.project.git("rev-parse", f"{branch}^{{tree}}")
    later = own.project.git("commit-tree", tree, "-p", branch, "-m", "by hand")
    own.project.git("update-ref", f"refs/heads/{branch}", later)

    person.get_by_role("button", name="Send back").click()

    expect(person.get_by_text("The branch has changed since these comments")).to_be_visible()
    with own.client() as client:
        assert client.status(job)["status"] == "completed"


def test_the_other_candidate_can_be_taken(person: Page, own: Site) -> None:
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) seq 9 > n.txt;; *) seq 2 > n.txt;; esac"
    task = {"id": "c", "command": script, "agent": ["shell", "shell"], "git": "on"}
    job = own.job([task])
    person.goto(f"{own.url}/jobs/{job}/t/c")
    expect(person.get_by_text("worker_2 is chosen.")).to_be_visible()

    person.get_by_role("button", name="Take this one").click()
    person.get_by_role("dialog").get_by_role("button", name="Take this one").click()

    expect(person.get_by_text("worker_1 is chosen.")).to_be_visible(timeout=ENDED_MS)
    assert own.project.show(f"orchestrator/{job}/result", "n.txt").endswith("9")


def test_a_conflict_is_shown_and_resolved(person: Page, own: Site) -> None:
    both = [shell(f"echo {word} > README.md", id=word, git="on") for word in ("red", "blue")]
    job = own.job(both, resolve="off")
    person.goto(f"{own.url}/jobs/{job}/changes?conflict=worker_2")
    expect(person.get_by_text("worker_2 conflicts with the result")).to_be_visible()
    for text in ("# A project", "red", "blue"):
        expect(person.locator(".three").get_by_text(text, exact=True)).to_be_visible()

    person.get_by_role("button", name="Take worker_2's lines").click()
    person.get_by_role("dialog").get_by_role("button", name="Take them").click()

    expect(person.get_by_text("No conflict is open")).to_be_visible(timeout=ENDED_MS)
    assert own.project.show(f"orchestrator/{job}/result", "README.md") == "blue"


def test_hostile_lines_of_a_diff_are_text(person: Page, own: Site) -> None:
    script = "printf '<img src=x onerror=alert(1)>\\n\\342\\200\\256gnp.exe\\n' > evil.html"
    job = own.job([shell(script, git="on")])
    person.goto(f"{own.url}/jobs/{job}/changes?worker=worker_1")
    expect(person.get_by_role("cell", name="<img src=x onerror=alert(1)>")).to_be_visible()
    expect(person.get_by_role("cell", name="\\u202egnp.exe")).to_be_visible()
    assert person.locator("main img").count() == 0
