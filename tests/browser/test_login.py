"""Logging in: by key or by ticket; the key and the ticket stay nowhere."""

import json
import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import KEY, Site, shell


def test_the_address_is_kept_over_the_login(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    site.log_in(page, "/jobs/00000000")
    assert page.url == f"{site.url}/jobs/00000000"


def test_a_wrong_key_is_refused_with_a_reason(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(site.url)
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("invalid API key")


def test_a_ticket_logs_in_once_and_leaves_the_address(context: BrowserContext, site: Site) -> None:
    answer = json.loads(site.server.cli("open", "--print", "--json").stdout)
    page = context.new_page()
    page.goto(answer["url"])
    expect(page.locator("h1")).to_have_text("Jobs")
    assert "ticket" not in page.url
    page.reload()
    expect(page.locator("h1")).to_have_text("Jobs")


def test_the_key_is_in_no_address_log_history_or_document(
    context: BrowserContext, site: Site
) -> None:
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    job = site.job([shell("echo hello")])
    site.log_in(page)
    page.get_by_role("link", name="A job of the tests").first.click()
    page.goto(f"{site.url}/jobs/{job}")
    page.go_back()
    kept = page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])"
    )
    logs = [path.read_text() for path in site.server.folder.rglob("*.jsonl")]
    for text in (*asked, kept, page.content(), site.server.output, *logs):
        assert KEY not in text
    assert all(re.match(re.escape(site.url), address) for address in asked)


def test_logging_out_ends_the_session(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Key")).to_be_visible()
    page.goto(f"{site.url}/costs")
    expect(page.get_by_label("Key")).to_be_visible()
