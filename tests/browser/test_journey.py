"""The most frequent actions: submit, watch live, read the log, cancel, retry, message, decide."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.agents.model_api import Call, Script, Turn
from tests.browser.site import Site, shell, tab_to


def test_a_partial_job_can_be_retried_from_the_list_and_its_page(page: Page, site: Site) -> None:
    flag = site.project.path / "now"
    tasks = [shell("true"), shell(f"[ -e '{flag}' ]", retries=0)]
    job = site.job(tasks, request="Half of it", git="off", gates=[])
    promise = {"command": f"echo x > x; [ -e '{flag}' ] && echo p > promised.txt; true"}
    promising = site.job(
        [{"git": "on", "writes": ["promised.txt"], **promise}], request="A promise", gates=[]
    )
    flag.touch()

    page.goto(site.url)
    page.get_by_role("button", name=f"Retry {job}").click()
    expect(page.get_by_role("listitem").filter(has_text=job)).to_contain_text("completed")

    page.goto(f"{site.url}/jobs/{promising}")
    expect(page.locator(".pill")).to_have_text("partial")
    page.locator(".jobhead").get_by_role("button", name="Retry", exact=True).click()
    expect(page.locator(".pill")).to_have_text("completed")
    flag.unlink()


def until(path: object) -> str:
    """Return a command that waits for a file."""
    return f"until [ -e '{path}' ]; do sleep 0.05; done"


def test_submit_watch_read_the_log_and_cancel_by_keyboard(page: Page, site: Site) -> None:
    go = site.project.path / "go"
    page.goto(site.url)
    page.locator("h1").wait_for()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.get_by_label("What should be done?")).to_be_focused()
    page.keyboard.type("Look around")
    tab_to(page, "Commands")
    page.keyboard.press("Enter")
    tab_to(page, "Commands, one a line")
    page.keyboard.type(f"{until(go)}; echo went on")
    page.keyboard.press("Enter")
    page.keyboard.type("echo begun; sleep 300")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"/jobs/\w+$"))
    job = page.url.rsplit("/", 1)[1]

    head = page.locator(".jobhead")
    expect(head).to_contain_text("2 running")
    go.touch()
    # The page is not reloaded: the stream reports the end.
    expect(head).to_contain_text("1 succeeded")
    page.keyboard.press("2")
    expect(page.locator("tbody tr").first).to_contain_text("running")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("begun")
    page.keyboard.press("u")
    page.locator(".dag").wait_for()
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="Cancel the job")).to_be_visible()
    tab_to(page, "Cancel the job")
    page.keyboard.press("Enter")
    expect(head.locator(".pill")).to_have_text("cancelled")
    with site.client() as client:
        assert client.status(job)["status"] == "cancelled"
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.get_by_label("Search jobs").wait_for()
    page.keyboard.press("/")
    page.keyboard.type(job)
    row = page.locator(".job-l [data-row]")
    expect(row).to_have_count(1)
    page.keyboard.press("Escape")
    for _ in range(60):
        page.keyboard.press("j")
        if row.evaluate("(row) => row === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Look around")


def test_a_log_grows_while_it_is_open_and_its_sections_fold(page: Page, site: Site) -> None:
    more = site.project.path / "more"
    lines = "for k in $(seq 30); do echo line $k; done"
    group = "echo '::group::Install'; echo fetched; echo '::endgroup::'"
    job = site.job([shell(f"{lines}; {until(more)}; echo the last; {group}; echo end")], wait=False)
    page.goto(f"{site.url}/jobs/{job}/w/worker_1#L14")
    expect(page.locator("#L14")).to_have_class("on")
    expect(page.locator("#L14")).to_contain_text("line 14")
    more.touch()
    expect(page.locator("#L31")).to_contain_text("the last")
    expect(page.locator("#L33")).to_contain_text("fetched")
    expect(page.locator("#L33")).to_have_class("in-sec")
    expect(page.locator("#L35")).not_to_have_class("in-sec")
    page.get_by_role("button", name="Install").click()
    expect(page.locator("#L33")).to_have_count(0)
    expect(page.locator("#L35")).to_contain_text("end")
    page.get_by_label("Search the log").fill("LINE 2")
    expect(page.get_by_text("1 of 11")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("mark.cur")).to_have_text("line 2")
    expect(page.locator("#L20 mark.cur")).to_be_visible()
    page.get_by_label("Search the log").fill("fetched")
    expect(page.locator("#L33 mark.cur")).to_be_visible()


@pytest.mark.nightly
def test_a_large_log_opens_at_its_end_and_earlier_lines_are_loaded(page: Page, site: Site) -> None:
    job = site.job([shell("seq 700000")])
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    log = page.get_by_role("log")
    expect(log).to_contain_text("700000")
    assert page.locator("[data-line]").count() == 0
    page.get_by_role("button", name="Load the whole log").click()
    expect(page.get_by_text("700,000 lines")).to_be_visible()
    expect(page.get_by_role("button", name="Load earlier lines")).to_have_count(0)
    page.goto(f"{site.url}/jobs/{job}/w/worker_1#L7")
    page.reload()
    expect(page.locator("#L7.on")).to_contain_text("7")


def test_a_graph_fits_or_shows_that_it_continues(page: Page, site: Site) -> None:
    def chain(length: int) -> str:
        tasks = [shell(f"echo {n} > {n}.txt", id=f"t{n}", git="on") for n in range(length)]
        for task, before in zip(tasks[1:], tasks, strict=False):
            task["depends_on"] = [before["id"]]
        return site.job(tasks)

    edge = "([canvas]) => Math.round(canvas.scrollWidth - canvas.clientWidth)"
    page.goto(f"{site.url}/jobs/{chain(3)}")
    expect(page.get_by_role("link", name="Merge and gates")).to_contain_text("3 branches")
    assert page.locator(".canvas").evaluate_all(edge) <= 0

    page.goto(f"{site.url}/jobs/{chain(6)}")
    expect(page.get_by_role("link", name="Merge and gates")).to_contain_text("6 branches")
    assert page.locator(".canvas").evaluate_all(edge) > 0
    expect(page.locator(".canvas.continues")).to_have_count(1)
    page.locator(".canvas").evaluate("(canvas) => canvas.scrollTo({ left: 9999 })")
    expect(page.locator(".canvas.continues")).to_have_count(0)


def test_a_job_is_read_in_all_views(page: Page, site: Site) -> None:
    below = '[{"title": "Below", "agent": "shell", "command": "true"}]'
    spawn = f"echo '{below}' > t.json; orchestrator spawn c --tasks t.json --wait"
    job = site.job(
        [
            shell(spawn, id="first", title="The first"),
            shell("exit 3", id="bad", title="The bad one", retries=0),
            shell("true", id="last", title="The last", depends_on=["bad"]),
            shell("echo made > made.txt", title="The maker", git="on"),
        ]
    )
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .node.st-failed")).to_contain_text("The bad one")
    expect(page.locator(".dag .edge.dead, .dag .edge.crit")).to_have_count(1)
    expect(page.locator(".dag .frame")).to_have_count(1)
    expect(page.locator(".dag")).to_contain_text("Below")
    expect(page.get_by_role("link", name="Merge and gates")).to_contain_text("1 branch")
    expect(page.get_by_role("button", name="Land", exact=True)).to_be_visible()
    page.keyboard.press("2")
    rows = page.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("exit code 3")
    expect(page.locator("tr.sub")).to_contain_text("Below")
    page.get_by_role("button", name=re.compile("Done")).click()
    expect(rows).to_have_count(3)
    page.keyboard.press("3")
    expect(page.get_by_role("img", name=re.compile("Timeline of 5 lanes"))).to_be_visible()
    page.get_by_role("button", name="Slots").click()
    expect(page.get_by_role("img", name=re.compile("Timeline of [1-4] lane"))).to_be_visible()
    page.keyboard.press("5")
    expect(page.get_by_role("article")).to_contain_text("The bad one")
    page.get_by_role("link", name="Events").click()
    expect(page.locator("tbody tr").first).to_contain_text("job_ended")


def test_workers_get_messages_are_stopped_and_retried_and_the_job_is_paused(
    page: Page, site: Site
) -> None:
    assert site.models
    go, good = site.project.path / "resumed", site.project.path / "good"
    held = Script.of(Turn("I begin.", (Call.shell(until(go)),)), Turn("Done."))
    site.models.scripts["held"] = held
    model = {"agent": "anthropic", "model": "stub-model", "prompt": "Do it. [[script:held]]"}
    job = site.job(
        [
            {**model, "id": "model", "title": "The model"},
            shell(f"[ -e '{good}' ]", title="Fails first", retries=0),
            shell("sleep 1; exit 1", title="Fails too", retries=0),
            shell("sleep 300", title="Too long"),
            shell("true", title="The last", depends_on=["model"]),
        ],
        wait=False,
    )
    page.goto(f"{site.url}/jobs/{job}")
    head = page.locator(".jobhead")
    expect(head).to_contain_text("2 failed")

    page.locator(".dag .node", has_text="The model").click()
    page.locator("aside").get_by_role("button", name="Message").click()
    page.get_by_label("Message", exact=True).fill("Use tabs")
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").get_by_text("Sent")).to_be_visible()

    page.locator(".dag .node", has_text="Too long").click()
    page.locator("aside").get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(head).to_contain_text("1 cancelled")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".pill")).to_have_text("paused")
    go.touch()
    expect(head).to_contain_text("1 succeeded")
    expect(head).to_contain_text("1 pending")
    page.get_by_role("button", name="Resume").click()

    expect(page.locator(".pill")).to_have_text("partial")
    good.touch()
    page.locator(".dag .node", has_text="Fails first").click()
    page.locator("aside").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("The worker runs again")).to_be_visible()
    expect(head).to_contain_text("3 succeeded")
    expect(page.locator(".pill")).to_have_text("partial")
    page.keyboard.press("2")
    page.locator("tbody [data-row]").first.wait_for()
    for _ in range(2):
        page.keyboard.press("j")
        page.keyboard.press("x")
    expect(page.get_by_label("Selected workers")).to_contain_text("2 workers selected")
    page.get_by_role("button", name="Retry 2").click()
    expect(page.get_by_text("2 workers will run again")).to_be_visible()
    with site.client() as client:
        client.cancel(job)
    bodies = [str(each.body) for each in site.models.requests if each.script == "held"]
    assert any("Use tabs" in each for each in bodies)


@pytest.mark.nightly
def test_the_list_of_jobs_is_live_and_still_under_the_pointer(page: Page, site: Site) -> None:
    site.job([shell("true")])
    page.goto(site.url)
    page.mouse.move(2, 2)
    job = site.job([shell("sleep 1")], request="A job from elsewhere", wait=False)
    row = page.locator(".job-l", has_text=job)
    expect(row).to_contain_text("A job from elsewhere")
    expect(row).to_contain_text("completed")
    page.locator(".job-l .name").first.hover()
    later = site.job([shell("true")], request="A job that waits to be shown")
    new = page.get_by_role("button", name=re.compile("new$"))
    expect(new).to_be_visible()
    expect(page.locator(".job-l", has_text=later)).to_have_count(0)
    page.mouse.move(2, 2)
    expect(page.locator(".job-l", has_text=later)).to_be_visible()


def test_a_question_is_answered_and_a_limit_is_raised(page: Page, site: Site) -> None:
    slow = [shell("sleep 1.5; sleep 1.5")]
    limited = site.job(slow, wait=False, max_wall_seconds=1, on_limit="ask")
    build = shell("echo built version 7", id="build")
    ask = {"id": "ok", "approve": "Deploy to production?", "depends_on": ["build"]}
    job = site.job(
        [build, ask, shell("echo deployed", depends_on=["ok"])], wait=False, labels={"team": "red"}
    )
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".pill")).to_have_text("waits for you")
    page.goto(site.url)
    expect(page.locator(".jobs li", has_text=job)).to_contain_text("waits for you")
    needs = page.locator("#needs li", has_text=job)
    expect(needs).to_contain_text("Deploy to production?")
    needs.get_by_role("link", name="Deploy to production?").click()
    expect(page.locator("main")).to_contain_text("built version 7")
    expect(page.locator(".pill")).to_have_text("waits for you")
    page.locator("main").get_by_role("button", name="Approve").click()
    page.get_by_label("Comment").fill("Go on")
    page.get_by_label("Comment").press("Control+Enter")
    expect(page.locator("main")).to_contain_text("Answered by key default: Go on")
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".pill")).to_have_text("completed")
    expect(page.locator("#needs")).to_have_count(0)
    page.goto(f"{site.url}/costs")
    page.get_by_label("By label").select_option("team")
    expect(page.get_by_role("heading", name="By team", exact=True)).to_be_visible()
    expect(page.locator("tbody td.full", has_text="red")).to_be_visible()

    page.goto(site.url)
    row = page.locator(".jobs li", has_text=limited)
    expect(row).to_contain_text("waits for you")
    row.locator("[data-row]").click()
    expect(page.locator(".pill")).to_have_text("waits for you")
    expect(page.locator(".jobhead")).to_contain_text("Without an answer, the job ends at")
    page.locator("#needs").get_by_role("button", name="Raise the limit").click()
    form = page.get_by_role("dialog", name="Raise the limits")
    form.get_by_label("Time").fill("1 s")
    form.get_by_role("button", name="Raise").click()
    expect(form.get_by_role("alert")).to_contain_text("larger value")
    form.get_by_label("Time").fill("0.5 s")
    form.get_by_role("button", name="Raise").click()
    expect(form.get_by_role("alert")).to_contain_text("does not raise the limit")
    expect(form.get_by_label("Time")).to_have_value("0.5 s")
    form.get_by_label("Time").fill("2 min")
    form.get_by_role("button", name="Raise").click()
    expect(page.locator(".pill")).to_have_text("completed")


def test_the_report_appears_when_the_job_ends(page: Page, site: Site) -> None:
    go = site.project.path / "end-now"
    job = site.job([shell(until(go))], wait=False)
    page.goto(f"{site.url}/jobs/{job}/report")
    expect(page.locator("article")).to_contain_text("Not written yet")
    go.touch()
    expect(page.locator("article")).to_contain_text("1 of 1 task succeeded")


def test_the_page_of_a_running_job_makes_no_call_that_is_refused(page: Page, site: Site) -> None:
    go = site.project.path / "go-on"
    job = site.job([shell(f"echo new > new.txt; {until(go)}", git="on")], wait=False)
    refused: list[str] = []
    page.on("response", lambda each: refused.append(each.url) if each.status >= 400 else None)

    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .node.st-running")).to_be_visible()
    go.touch()
    expect(page.get_by_role("link", name="Merge and gates")).to_contain_text("1 branch")
    assert refused == []
