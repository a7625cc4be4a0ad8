"""The server is killed under an open page; the page is correct again soon after the restart."""

import signal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.site import Site, shell
from tests.support.examples import AT_NIGHT

#: The time is checked only at night, because other load changes it by day.
BACK_MS = 3000.0 if AT_NIGHT else PATIENCE_MS


def test_a_page_survives_a_killed_server(page: Page, site: Site) -> None:
    go = site.project.path / "restarted"
    job = site.job([shell(f"until [ -e '{go}' ]; do sleep 0.05; done; echo done")], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".jobhead")).to_contain_text("1 running")
    page.evaluate("() => { window.sameDocument = true; }")
    site.server.stop(signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toast")).to_contain_text("runs when the server is back")
    site.server.start()
    expect(page.locator(".banner.ok")).to_be_visible(timeout=BACK_MS)
    expect(page.locator(".pill")).to_have_text("paused", timeout=BACK_MS)
    page.get_by_role("button", name="Resume").click()
    go.touch()
    with site.client() as client:
        client.wait(job, timeout=60)
    expect(page.locator(".pill")).to_have_text("completed", timeout=BACK_MS)
    assert page.evaluate("() => window.sameDocument")


@pytest.mark.nightly
def test_a_log_is_still_followed_after_a_restart(page: Page, site: Site) -> None:
    go = site.project.path / "logged"
    command = f"seq 9000; until [ -e '{go}' ]; do sleep 0.05; done; echo the end; sleep 5"
    job = site.job([shell(command)], wait=False)
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    line = page.locator(".log .tx", has_text="9000")
    expect(line).to_be_in_viewport()
    site.server.stop(signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    # The page is scrolled to the end of the log.
    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(page.locator(".live")).to_be_hidden()
    site.server.start()
    expect(page.locator(".banner.ok")).to_be_visible()
    go.touch()
    expect(page.locator(".log .tx", has_text="the end")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
    with site.client() as client:
        client.cancel(job)


@pytest.mark.nightly
def test_a_page_opened_while_the_server_is_stopped_appears_later(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(page.locator("h1")).to_have_text("Jobs")
    failed: list[str] = []
    page.on(
        "requestfailed", lambda sent: failed.append(sent.url) if sent.is_navigation_request() else 0
    )
    site.server.stop(signal.SIGKILL)
    page.locator(".nav").get_by_role("link", name="Costs").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    site.server.start()
    expect(page.locator("h1")).to_have_text("Costs")
    # The browser never showed its own error page.
    assert failed == []


@pytest.mark.nightly
def test_the_page_of_an_ended_job_rarely_asks_for_new_events(page: Page, site: Site) -> None:
    job = site.job([shell("exit 1", retries=0)])
    addresses: list[str] = []
    page.on("request", lambda sent: addresses.append(sent.url))
    page.clock.install()
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".pill")).to_have_text("failed")
    for _ in range(30):
        page.clock.run_for(500)
        page.evaluate("() => fetch('/healthz')")
    assert len([each for each in addresses if "/events" in each]) < 10

    page.get_by_role("button", name="Retry failed").click()
    expect(page.locator(".crumb")).to_contain_text("run 2")
    with site.client() as client:
        client.wait(job, timeout=60)
    for _ in range(30):
        page.clock.run_for(500)
        page.evaluate("() => fetch('/healthz')")
    expect(page.locator(".pill")).to_have_text("failed")
    expect(page.get_by_role("button", name="Retry failed")).to_be_visible()


def test_the_page_shows_why_a_server_cannot_continue(page: Page, site: Site) -> None:
    page.route(
        "**/health",
        lambda route: route.fulfill(
            status=503, json={"ready": False, "checks": {"store": "disk full", "queue": "ok"}}
        ),
    )
    page.goto(site.url)
    expect(page.get_by_role("alert")).to_have_text("The server cannot continue. store: disk full")
    page.unroute_all()
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.nightly
def test_a_server_that_hangs_counts_as_lost(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(page.locator("h1")).to_have_text("Jobs")
    process = site.server.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
    finally:
        process.send_signal(signal.SIGCONT)
    expect(page.locator(".banner.ok")).to_be_visible()


def test_an_action_that_the_server_does_not_answer_shows_a_line(page: Page, site: Site) -> None:
    go = site.project.path / "hung"
    job = site.job([shell(f"until [ -e '{go}' ]; do sleep 0.05; done")], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".jobhead")).to_contain_text("1 running")
    held: list[Route] = []
    page.route("**/pause", lambda route: held.append(route))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toast")).to_contain_text("has not answered yet")
    held[0].continue_()
    expect(page.locator(".toast")).to_contain_text("Paused")
    with site.client() as client:
        client.cancel(job)


def test_the_stream_of_an_ended_job_is_opened_less_and_less_often(page: Page, site: Site) -> None:
    job = site.job([shell("true")])
    page.clock.install()
    streams: list[str] = []
    page.on("request", lambda sent: streams.append(sent.url) if "/events" in sent.url else None)
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".pill")).to_have_text("completed")
    for _ in range(60):
        page.clock.run_for(2000)
        page.wait_for_timeout(50)
    assert 2 < len(streams) <= 12, streams
