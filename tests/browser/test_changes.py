"""The changes of a job: comments that start another attempt, candidates, and a conflict."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Site, shell, tab_to
from tests.integration.engine.service.reruns.reviewed import write


def test_a_comment_becomes_a_second_attempt_that_is_landed_by_keyboard(
    page: Page, site: Site
) -> None:
    job = site.job([write()])
    page.goto(f"{site.url}/jobs/{job}/changes?worker=worker_1")
    page.get_by_role("row", name="answer = 41").wait_for()
    tab_to(page, "Comment on line 2")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Comment", exact=True)).to_be_focused()
    page.keyboard.type("use 42")
    page.keyboard.press("Control+Enter")
    page.reload()
    expect(page.get_by_text("1 comment", exact=True)).to_be_visible()

    tab_to(page, "Send feedback")
    page.keyboard.press("Enter")

    expect(page.get_by_role("cell", name="answer = 42")).to_be_visible()
    with site.client() as client:
        client.wait(job, timeout=60)
    prompts = list(site.server.folder.rglob("seen-2.md"))
    assert "`answer.txt`, line 2" in prompts[0].read_text()
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    both = page.get_by_role("button", name=re.compile("^Attempt . success"))
    expect(both).to_have_count(2)
    page.goto(f"{site.url}/jobs/{job}")
    page.get_by_role("button", name="Land", exact=True).wait_for()
    for _ in ("the head's", "the dialog's"):
        tab_to(page, "Land")
        page.keyboard.press("Enter")
    expect(page.get_by_role("status").get_by_text("Landed on main")).to_be_visible()
    assert "answer = 42" in (site.project.path / "answer.txt").read_text()
    expect(page.locator(".jobhead")).to_contain_text("Landed on main ·")
    land = page.get_by_role("button", name="Land", exact=True)
    expect(land).to_have_count(0)

    page.get_by_role("button", name="Undo the landing").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo the landing")).to_have_count(0)
    expect(land).to_be_visible()
    assert not (site.project.path / "answer.txt").exists()


def test_an_incomplete_result_is_landed_after_a_warning(page: Page, site: Site) -> None:
    made = shell("echo made > part.txt", id="made", git="on")
    job = site.job([made, shell("exit 3", id="bad", retries=0)], gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.get_by_role("button", name="Undo the landing")).to_have_count(0)
    page.get_by_role("button", name="Land", exact=True).click()
    dialog = page.get_by_role("dialog", name="Land the incomplete result")
    expect(dialog).to_contain_text("worker_2 did not succeed")
    dialog.get_by_role("button", name="Land", exact=True).click()
    expect(page.locator(".jobhead")).to_contain_text("Landed on main ·")
    assert (site.project.path / "part.txt").read_text() == "made\n"


def test_a_question_of_a_worker_is_answered_from_the_list(page: Page, site: Site) -> None:
    task = {**write("asked.txt"), "prompt": "ask first; Write the answer in the file asked.txt"}
    job = site.job([task], max_retries=0)
    page.goto(site.url)
    need = page.locator("#needs li", has_text=job)
    expect(need).to_contain_text("Which answer shall I write?")
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    answer = page.get_by_role("link", name="Answer", exact=True)
    expect(answer).to_have_attribute("href", f"/jobs/{job}/changes?worker=worker_1#feedback")
    page.go_back()
    need.get_by_role("link", name="Answer", exact=True).click()
    field = page.get_by_placeholder("Summary or answer for worker_1")
    expect(field).to_be_focused()
    expect(page.locator("#needs")).to_contain_text("Which answer shall I write?")
    field.fill("use 7")
    field.press("Control+Enter")
    expect(page.get_by_role("cell", name="answer = 7")).to_be_visible()
    expect(page.locator("#needs")).to_have_count(0)


#: Names of the stored summaries.
SUMMARIES = "Object.keys(localStorage).filter((each) => each.startsWith('summary '))"


def test_unsent_feedback_is_still_there_after_a_visit_to_another_page(
    page: Page, site: Site
) -> None:
    job = site.job([write("kept.txt")], gates=[])
    page.goto(f"{site.url}/jobs/{job}/changes?worker=worker_1")
    comment = page.get_by_label("Comment", exact=True)
    page.get_by_role("row", name="answer = 41").hover()
    page.get_by_role("button", name="Comment on line 2").click()
    comment.fill("use 42")
    summary = page.get_by_label("Summary or answer")
    summary.fill("No")
    assert page.evaluate(SUMMARIES) == [f"summary {job} worker_1"]
    summary.fill("")
    assert page.evaluate(SUMMARIES) == []
    summary.fill("Nearly done")
    page.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("status").get_by_text("Add or cancel the comment")).to_be_visible()
    expect(comment).to_be_focused()

    page.get_by_role("link", name="Graph").click()
    page.locator(".dag").wait_for()
    page.go_back()

    expect(page.get_by_text("1 comment", exact=True)).to_be_visible()
    expect(page.locator(".thread")).to_contain_text("use 42")
    expect(page.get_by_label("Summary or answer")).to_have_value("Nearly done")
    page.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("cell", name="answer = 42")).to_be_visible()
    expect(page.get_by_label("Summary or answer")).to_have_value("")


@pytest.mark.nightly
def test_comments_on_an_older_state_are_not_sent(page: Page, site: Site) -> None:
    job = site.job([write("other.txt")])
    page.goto(f"{site.url}/jobs/{job}/changes?worker=worker_1")
    page.get_by_role("row", name="answer = 41").hover()
    page.get_by_role("button", name="Comment on line 2").click()
    page.get_by_label("Comment", exact=True).fill("use 42")
    page.get_by_role("button", name="Add comment").click()
    branch = f"orchestrator/{job}/worker_1"
    tree = site.project.git("rev-parse", f"{branch}^{{tree}}")
    later = site.project.git("commit-tree", tree, "-p", branch, "-m", "by hand")
    site.project.git("update-ref", f"refs/heads/{branch}", later)

    page.get_by_role("button", name="Send feedback").click()

    expect(
        page.get_by_text("The branch has changed since you wrote these comments")
    ).to_be_visible()
    with site.client() as client:
        assert client.status(job)["status"] == "completed"


def test_the_other_candidate_can_be_chosen(page: Page, site: Site) -> None:
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) seq 9 > n.txt;; *) seq 2 > n.txt;; esac"
    task = {"id": "c", "command": script, "agent": ["shell", "shell"], "git": "on"}
    job = site.job([task])
    page.goto(f"{site.url}/jobs/{job}/t/c")
    expect(page.get_by_text("worker_2 is chosen.")).to_be_visible()

    page.get_by_role("button", name="Choose this candidate").click()
    page.get_by_role("dialog").get_by_role("button", name="Choose this candidate").click()

    expect(page.get_by_text("worker_1 is chosen.")).to_be_visible()
    assert site.project.show(f"orchestrator/{job}/result", "n.txt").endswith("9")


def test_the_changes_of_a_running_job_are_those_of_its_ended_workers(
    page: Page, site: Site
) -> None:
    done = shell("echo made > early.txt", id="done", git="on")
    job = site.job([done, shell("sleep 300", id="long")], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".jobhead")).to_contain_text("1 succeeded")
    page.get_by_role("link", name="Changes").click()
    expect(page.locator("main")).to_contain_text("changes are merged when the job ends")
    page.get_by_role("link", name="worker_1 · 1 file").click()
    expect(page.get_by_role("cell", name="made", exact=True)).to_be_visible()
    with site.client() as client:
        client.cancel(job)


def test_a_conflict_is_shown_and_resolved(page: Page, site: Site) -> None:
    both = [shell(f"echo {word} > README.md", id=word, git="on") for word in ("red", "blue")]
    job = site.job(both, resolve="off", request="Two colors for the README")
    page.goto(site.url)
    need = page.locator("#needs li", has_text=job)
    expect(need).to_contain_text("Two colors for the README")
    need.get_by_role("link", name="Resolve").click()
    expect(page.get_by_text("worker_2 conflicts with the result")).to_be_visible()
    for text in ("# A project", "red", "blue"):
        expect(page.locator(".three pre").get_by_text(text, exact=True)).to_be_visible()
    command = f"bin/orchestrator merge {job} --exclude worker_2"
    expect(page.locator("main")).to_contain_text(command)
    # A link "Resolve" would lead to this page.
    expect(page.locator("#needs")).to_have_count(0)
    # The worker runs a command, which cannot resolve a conflict.
    expect(page.get_by_role("button", name="Let worker_2 resolve it")).to_have_count(0)

    page.get_by_role("button", name="Let the better result win").click()
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()

    expect(page.get_by_text("No conflict is open")).to_be_visible()
    assert site.project.show(f"orchestrator/{job}/result", "README.md") == "blue"
    page.get_by_role("link", name="Graph").click()
    expect(page.locator(".dag")).to_contain_text("2 branches")


@pytest.mark.nightly
def test_a_conflict_in_a_long_file_is_shown_without_the_rest_of_the_file(
    page: Page, site: Site
) -> None:
    lines = "seq -f 'line %g' 300 > LONG.md"
    base = site.job([shell(lines, id="base", git="on")], gates=[])
    both = [
        shell(f"{lines}; sed -i 's/^line 200$/{word}/; 9d' LONG.md", id=word, git="on")
        for word in ("red", "blue")
    ]
    both[1]["command"] = str(both[1]["command"]).replace("9d", "s/^line 9$/nine/")
    with site.client() as client:
        client.land(base)
    job = site.job(both, resolve="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}/changes?conflict=worker_2")
    places = page.locator(".place")
    expect(places).to_have_text(
        ["Conflict 1 of 2 · line 9 of the result", "Conflict 2 of 2 · line 199 of the result"]
    )
    first, second = (page.locator(".three").nth(k).locator("pre") for k in (0, 1))
    expect(first.nth(1)).to_contain_text("No lines here.")
    expect(first.nth(2)).to_contain_text("nine")
    expect(second.nth(0).locator("span")).to_have_text(
        [f"line {k}" for k in (197, 198, 199, 200, 201, 202, 203)]
    )
    expect(page.get_by_text("line 100", exact=True)).to_have_count(0)
    page.get_by_text("The whole files").click()
    expect(page.get_by_text("line 100", exact=True)).to_have_count(3)


def test_a_worker_resolves_a_conflict_while_the_page_is_open(page: Page, site: Site) -> None:
    (site.project.path / "both.txt").write_text("none\n")
    site.project.git("add", "both.txt")
    site.project.git("commit", "-qm", "both")
    both = [
        write("both.txt", id=f"w{number}", prompt=f"Write it in the file both.txt\nuse {number}")
        for number in (5, 6)
    ]
    job = site.job(both, resolve="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}/changes?conflict=worker_2")
    expect(page.get_by_text("answer = 6")).to_be_visible()
    page.route(
        "**/conflicts",
        lambda route: route.fulfill(status=409, json={"detail": "job has not ended"}),
    )
    page.get_by_role("button", name="Let worker_2 resolve it").click()
    expect(page.get_by_role("heading", name="The job runs")).to_be_visible()
    expect(page.get_by_role("link", name="Log of worker_2")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.unroute_all()
    expect(page.get_by_text("No conflict is open")).to_be_visible()
    expect(page.locator(".pill")).to_have_text("completed")


def test_a_need_without_conflicting_lines_leads_to_its_command(page: Page, site: Site) -> None:
    task = shell("echo x > x", git="on", writes=["promised.txt"])
    job = site.job([task], request="A promised file", gates=[])

    page.goto(f"{site.url}/jobs/{job}")
    need = page.locator(".needs")
    expect(need).to_contain_text("Missing files")
    need.get_by_role("link", name="Open").click()

    expect(page.get_by_role("heading", name="Not in the result")).to_be_visible()
    row = page.get_by_role("listitem").filter(has_text="bin/orchestrator retry")
    expect(row).to_contain_text("worker_1: promised files are missing: promised.txt")
    expect(row).to_contain_text(f"bin/orchestrator retry {job}")
