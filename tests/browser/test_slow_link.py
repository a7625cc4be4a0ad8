"""A slow connection: few files, loaded at the same time."""

import time

from playwright.sync_api import Page, Route, expect

from tests.browser.site import Site, shell

LATENCY_SECONDS = 1.0
#: The page; its files and the session at the same time; the data. The fifth is for a busy machine.
ROUND_TRIPS = 5
#: Number of files: script, stylesheet, theme, loading text, icons, and the icon of the tab.
MOST_FILES = 6


def test_the_first_visit_takes_three_round_trips(page: Page, site: Site) -> None:
    job = site.job([shell("true", title="The task")], gates=[])
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    conditions = {"offline": False, "latency": 1000 * LATENCY_SECONDS}
    speed = {"downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", {**conditions, **speed})
    files: list[str] = []
    page.on("request", lambda sent: files.append(sent.url) if "/static/" in sent.url else None)
    begun = time.monotonic()
    page.goto(f"{site.url}/jobs/{job}", wait_until="commit")
    expect(page.locator(".dag .node", has_text="The task")).to_be_visible()
    assert time.monotonic() - begun < ROUND_TRIPS * LATENCY_SECONDS
    assert len(files) <= MOST_FILES


def test_the_session_is_loaded_together_with_the_files(page: Page, site: Site) -> None:
    held: list[Route] = []
    sessions: list[str] = []
    page.route("**/dashboard.js", lambda route: held.append(route))
    page.on("request", lambda sent: sessions.append(sent.url) if "/session" in sent.url else None)
    with page.expect_response("**/api/v1/session"):
        page.goto(site.url, wait_until="commit")
    held[0].continue_()
    page.locator(".top").wait_for()
    assert len(sessions) == 1
