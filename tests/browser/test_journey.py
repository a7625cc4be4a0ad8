"""The most frequent actions: submit, watch live, read the log, cancel, retry, message."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import READER, Site, shell


def submit_commands(page: Page, *commands: str) -> str:
    """Start a job by the page for new jobs; return its id."""
    page.keyboard.press("n")
    page.get_by_label("What should be done?").fill("Look around")
    page.get_by_role("button", name="Commands").click()
    page.get_by_label("Commands, one a line").fill("\n".join(commands))
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/jobs/\w+$"))
    return page.url.rsplit("/", 1)[1]


def test_submit_watch_read_the_log_and_cancel(page: Page, site: Site) -> None:
    go = site.project.path / "go"
    job = submit_commands(
        page, f"until [ -e '{go}' ]; do sleep 0.05; done; echo went on", "echo begun; sleep 300"
    )
    head = page.locator(".jobhead")
    expect(head).to_contain_text("2 running")
    go.touch()
    # Nothing is reloaded: what ends is told by the stream.
    expect(head).to_contain_text("1 succeeded")
    page.locator("aside").get_by_role("link", name="Open").click()
    expect(page.get_by_role("log")).to_contain_text("begun")
    page.keyboard.press("u")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(head.locator(".pill")).to_have_text("cancelled")
    with site.client() as client:
        assert client.status(job)["status"] == "cancelled"


def test_a_log_grows_while_it_is_open_and_a_line_has_a_link(page: Page, site: Site) -> None:
    more = site.project.path / "more"
    lines = "for k in $(seq 30); do echo line $k; done"
    job = site.job(
        [shell(f"{lines}; until [ -e '{more}' ]; do sleep 0.05; done; echo the last")], wait=False
    )
    page.goto(f"{site.url}/jobs/{job}/w/worker_1#L14")
    expect(page.locator("#L14")).to_have_class("on")
    expect(page.locator("#L14")).to_contain_text("line 14")
    more.touch()
    expect(page.locator("#L31")).to_contain_text("the last")
    page.get_by_label("Search the log").fill("LINE 2")
    expect(page.get_by_text("1 of 11")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("mark.cur")).to_have_text("line 2")
    expect(page.locator("#L20 mark.cur")).to_be_visible()


def test_a_job_is_read_as_graph_table_timeline_and_report(page: Page, site: Site) -> None:
    job = site.job(
        [
            shell("true", id="first", title="The first"),
            shell("exit 3", id="bad", title="The bad one", retries=0),
            shell("true", id="last", title="The last", depends_on=["bad"]),
        ]
    )
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .node.st-failed")).to_contain_text("The bad one")
    expect(page.locator(".dag .edge.dead, .dag .edge.crit")).to_have_count(1)
    page.keyboard.press("2")
    rows = page.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("exit code 3")
    page.get_by_role("button", name=re.compile("Done")).click()
    expect(rows).to_have_count(1)
    page.keyboard.press("3")
    expect(page.get_by_role("img", name=re.compile("Timeline of 3 lanes"))).to_be_visible()
    page.keyboard.press("5")
    expect(page.get_by_role("article")).to_contain_text("The bad one")
    page.get_by_role("link", name="Events").click()
    expect(page.locator("tbody tr").first).to_contain_text("job_ended")


def test_a_child_job_opens_inside_its_parent(page: Page, site: Site) -> None:
    tasks = '[{"title": "Below", "agent": "shell", "command": "true"}]'
    job = site.job([shell(f"echo '{tasks}' > t.json; orchestrator spawn c --tasks t.json --wait")])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .frame")).to_have_count(1)
    expect(page.locator(".dag")).to_contain_text("Below")
    page.keyboard.press("2")
    expect(page.locator("tr.sub")).to_contain_text("Below")


def test_a_key_that_reads_sees_no_buttons(context: BrowserContext, site: Site) -> None:
    job = site.job([shell("exit 1", retries=0)])
    page = context.new_page()
    site.log_in(page, f"/jobs/{job}", key=READER)
    expect(page.locator(".pill")).to_have_text("failed")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.goto(site.url)
    expect(page.get_by_role("link", name="A job of the tests").first).to_be_visible()
    expect(page.get_by_role("link", name="New job")).to_have_count(0)


def test_the_list_of_jobs_is_live(page: Page, site: Site) -> None:
    expect(page.locator("h1")).to_have_text("Jobs")
    job = site.job([shell("sleep 1")], request="A job from elsewhere", wait=False)
    row = page.locator(".job-l", has_text=job)
    page.mouse.move(2, 2)
    expect(row).to_contain_text("A job from elsewhere", timeout=20_000)
    expect(row).to_contain_text("completed", timeout=20_000)


def test_nothing_moves_under_the_pointer(page: Page, site: Site) -> None:
    site.job([shell("true")])
    page.reload()
    page.locator(".job-l .name").first.hover()
    job = site.job([shell("true")], request="A job that waits to be shown")
    new = page.get_by_role("button", name=re.compile("new$"))
    expect(new).to_be_visible(timeout=20_000)
    expect(page.locator(".job-l", has_text=job)).to_have_count(0)
    page.mouse.move(2, 2)
    expect(page.locator(".job-l", has_text=job)).to_be_visible()


def test_all_of_it_works_by_keyboard(page: Page, site: Site) -> None:
    job = site.job([shell("echo by keyboard; exit 1", title="Typed", retries=0)], request="Typed")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type(job)
    expect(page.locator("[data-row]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator(".jobhead").wait_for()
    page.keyboard.press("2")
    page.locator("tbody [data-row]").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("by keyboard")
    page.keyboard.press("u")
    page.locator(".dag").wait_for()
    page.keyboard.press("r")
    expect(page.get_by_text("runs again")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url(f"{site.url}/")


def test_a_job_is_paused_and_resumed(page: Page, site: Site) -> None:
    go = site.project.path / "resumed"
    first = shell(f"until [ -e '{go}' ]; do sleep 0.05; done", id="first")
    job = site.job([first, shell("true", depends_on=["first"])], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".pill")).to_have_text("paused")
    go.touch()
    expect(page.locator(".jobhead")).to_contain_text("1 pending")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".pill")).to_have_text("completed", timeout=20_000)


def test_a_task_that_waits_for_a_person_is_approved(page: Page, site: Site) -> None:
    ask = {"id": "ok", "approve": "Deploy to production?"}
    job = site.job([ask, shell("echo deployed", depends_on=["ok"])], wait=False)
    needs = page.locator("#needs li", has_text=job)
    expect(needs).to_contain_text("Deploy to production?", timeout=20_000)
    page.goto(f"{site.url}/jobs/{job}")
    page.locator("#needs").get_by_role("button", name="Approve").click()
    page.get_by_label("Comment").fill("Go on")
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.locator(".pill")).to_have_text("completed", timeout=20_000)
    expect(page.locator("#needs")).to_have_count(0)
