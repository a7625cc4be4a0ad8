"""Links, the back button, and the focus, for a person without a mouse."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.site import Site, shell


def test_a_link_within_a_page_moves_to_its_target(page: Page, site: Site) -> None:
    write = "for k in a b c; do seq 90 > $k.txt; done"
    job = site.job([shell(write, git="on")], gates=[])
    page.goto(f"{site.url}/jobs/{job}/changes")
    page.get_by_role("link", name="c.txt").click()
    expect(page.locator("section.file").nth(2)).to_be_in_viewport(ratio=0.2)
    expect(page.locator("section.file").nth(0)).not_to_be_in_viewport()
    expect(page.get_by_role("link", name="c.txt")).to_have_attribute("aria-current", "true")

    page.goto(site.url)
    page.locator(".jobs").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.closest('main') !== null")


def test_the_current_tab_is_visible_on_a_phone(page: Page, site: Site) -> None:
    job = site.job([shell("true")])
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site.url}/jobs/{job}/events")
    expect(page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=1)
    page.keyboard.press("1")
    expect(page.get_by_role("link", name="Graph")).to_be_in_viewport(ratio=1)


def test_a_dialog_takes_the_focus_and_returns_it(page: Page, site: Site) -> None:
    job = site.job([shell("sleep 300"), {"id": "ok", "approve": "Go on?"}], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    cancel = page.locator(".jobhead").get_by_role("button", name="Cancel")
    for answer in ("Escape", "Keep it"):
        cancel.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        if answer == "Escape":
            page.keyboard.press(answer)
        else:
            page.get_by_role("button", name=answer).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(cancel).to_be_focused()
    page.locator("#needs").get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Comment")).to_be_focused()
    page.keyboard.press("Escape")
    cancel.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".pill")).to_have_text("cancelled")


def test_the_list_of_servers_closes_on_escape_and_on_a_click_elsewhere(
    page: Page, site: Site
) -> None:
    server = {"project": "/a/shop", "servers": [{"url": "http://127.0.0.1:9", "project": "/b/bar"}]}
    page.route("**/api/v1/server", lambda route: route.fulfill(json=server))
    page.goto(site.url)
    other = page.get_by_role("link", name="bar")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("h1").click()):
        page.locator(".servers summary").click()
        expect(other).to_be_visible()
        close()
        expect(other).to_be_hidden()


def test_the_back_button_returns_to_the_same_place(page: Page, site: Site) -> None:
    jobs = [site.job([shell("true")]) for _ in range(6)]
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto(site.url)
    oldest = page.get_by_role("listitem").filter(has_text=jobs[0])
    oldest.scroll_into_view_if_needed()
    at = page.evaluate("() => scrollY")
    assert at > 100
    oldest.get_by_role("link").click()
    expect(page.locator(".pill")).to_have_text("completed")
    assert page.evaluate("() => scrollY") == 0
    page.go_back()
    page.wait_for_function("(at) => scrollY === at", arg=at)
    expect(oldest).to_be_in_viewport()


def test_a_text_that_cannot_be_copied_is_shown(page: Page, site: Site) -> None:
    failing = shell("echo failing; exit 1", retries=0)
    job = site.job([failing, shell("true", depends_on=["task_1"])])
    # As on pages from another machine without HTTPS.
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    page.keyboard.press("y")
    expect(page.locator(".toast")).to_have_count(0)
    page.goto(f"{site.url}/jobs/{job}/w/worker_1#L1")
    expect(page.get_by_text("failing", exact=True).first).to_be_visible()
    page.keyboard.press("y")
    expect(page.locator(".toast")).to_contain_text("does not allow copying")
    page.goto(f"{site.url}/jobs/{job}/w/worker_2")
    expect(page.get_by_text("The worker has not run, so it has no log.")).to_be_visible()
    expect(page.get_by_role("link", name="Download the raw log")).to_have_count(0)


def test_the_search_field_follows_the_address(page: Page, site: Site) -> None:
    make = shell("echo made > made.txt", git="on")
    job = site.job([make], request="A rare request", gates=[])
    page.goto(f"{site.url}/jobs")
    field = page.get_by_label("Search jobs")
    field.fill("rare")
    expect(page.locator(".jobs .job-l:not(.head)")).to_have_count(1)
    expect(page.locator(".foot")).to_contain_text("1 of 1 job")
    page.get_by_role("link", name="orchestrator, all jobs").click()
    expect(field).to_have_value("")
    page.go_back()
    expect(field).to_have_value("rare")
    # An address that a person has cut is no error of the page.
    page.goto(f"{site.url}/jobs/{job}/changes#%E0%A4%A")
    expect(page.get_by_role("cell", name="made", exact=True)).to_be_visible()


@pytest.mark.nightly
def test_a_page_names_what_it_waits_for_and_shows_the_rest(page: Page, site: Site) -> None:
    held: list[Route] = []
    job = site.job([shell("true")], request="A request on a slow link")
    page.goto(site.url)
    for part, shown, awaited in (
        ("/dashboard.js$", "", r"Loading the dashboard: \d+ of \d+ files"),
        ("/session$", "", "Waiting for the server: your login"),
        (r"/api/v1/jobs\b", f"Job {job}", "Waiting for the server: the job"),
        ("/columns$", "A request on a slow link", "Waiting for the server: the workers of the job"),
    ):
        held.clear()
        page.route(re.compile(part), lambda route: held.append(route))
        page.goto(f"{site.url}/jobs/{job}", wait_until="commit")
        expect(page.get_by_text(re.compile(awaited))).to_be_visible()
        expect(page.locator("body")).to_contain_text(shown)
        for route in held:
            route.continue_()
        page.unroute_all()
        expect(page.locator(".dag")).to_be_visible()


@pytest.mark.nightly
def test_the_list_of_jobs_does_not_move_when_needs_appear(page: Page, site: Site) -> None:
    held: list[Route] = []
    question = site.job([{"id": "ok", "approve": "Go on?"}], wait=False)
    page.route("**/needs?page_size=200", lambda route: held.append(route))
    page.goto(site.url)
    expect(page.get_by_text("Waiting for the server: what needs you")).to_be_visible()
    assert not page.locator(".job-l .name").count()
    held[0].continue_()
    page.unroute_all()
    row = page.locator(".jobs li", has_text=question)
    expect(row).to_be_visible()
    expect(page.locator("#needs")).to_be_visible()

    row.locator(".name").hover()
    before, title, bell = (
        row.bounding_box(),
        page.locator("#nh").inner_text(),
        page.locator(".bell"),
    )
    number = bell.inner_text()
    other = site.job([{"id": "ok", "approve": "Something else?"}], wait=False)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    expect(bell).not_to_have_text(number)
    assert row.bounding_box() == before
    page.mouse.move(2, 2)
    expect(page.locator("#nh")).not_to_have_text(title)
    with site.client() as client:
        for job in (question, other):
            client.cancel(job)


def test_a_waiting_worker_leads_to_its_child_job(page: Page, site: Site) -> None:
    child = '[{"title": "Below", "agent": "shell", "command": "sleep 300"}]'
    spawn = f"echo '{child}' > t.json; orchestrator spawn c --tasks t.json --wait"
    job = site.job([shell(spawn)], wait=False, git="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    reason = page.locator(".jobhead .reason")
    expect(reason).to_contain_text("waiting for its child jobs")
    reason.get_by_role("link").click()
    expect(page.locator(".dag")).to_contain_text("Below")
    with site.client() as client:
        client.cancel(job)


def test_a_page_shows_what_another_tab_or_a_terminal_landed(page: Page, site: Site) -> None:
    job = site.job([shell("echo x > landed.txt", git="on")], gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    head = page.locator(".jobhead")
    expect(head.get_by_role("button", name="Land", exact=True)).to_be_visible()

    with site.client() as client:
        client.land(job)
        expect(head.get_by_role("button", name="Undo the landing")).to_be_visible()
        expect(head.get_by_role("button", name="Land", exact=True)).to_have_count(0)
        client.undo(job)
    expect(head.get_by_role("button", name="Land", exact=True)).to_be_visible()
