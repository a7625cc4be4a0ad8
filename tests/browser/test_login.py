"""Logging in by key or by ticket; neither the key nor the ticket is stored."""

import json
import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.site import KEY, READER, Site, shell
from tests.support.examples import nightly


def test_a_key_logs_in_and_out_and_the_address_stays(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(f"{site.url}/costs")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("invalid API key")
    page.get_by_label("Key").fill("  ")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Type the key.")
    page.get_by_label("Key").fill("鍵")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("invalid API key")

    site.log_in(page, "/costs")
    assert page.url == f"{site.url}/costs"

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Key")).to_be_visible()


@pytest.mark.nightly
def test_a_login_and_a_logout_reach_other_tabs(context: BrowserContext, site: Site) -> None:
    one, other = context.new_page(), context.new_page()
    site.log_in(one, "/costs")
    other.goto(f"{site.url}/agents")
    expect(other.locator("h1")).to_have_text("Agents and server")
    one.get_by_role("button", name="Log out").click()
    expect(other.locator(".login")).to_be_visible()
    site.log_in(one)
    expect(other.locator("h1")).to_have_text("Agents and server")


@pytest.mark.parametrize("lost", ["dashboard.js", *nightly("dashboard.css")])
def test_a_page_recovers_when_one_of_its_files_could_not_be_fetched(
    context: BrowserContext, site: Site, lost: str
) -> None:
    page = context.new_page()
    site.log_in(page)
    failures = [lost]

    def fail_once(route: Route) -> None:
        if failures:
            failures.pop()
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(f"**/{lost}", fail_once)
    page.goto(f"{site.url}/costs")
    expect(page.locator("h1")).to_have_text("Costs")
    assert not failures
    expect(page.locator(".top")).to_have_css("position", "sticky")


@pytest.mark.nightly
def test_a_page_whose_files_are_missing_shows_an_error(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.route("**/dashboard.js", lambda route: route.abort("connectionreset"))
    page.goto(site.url)
    # Before, the page reloads five times, with pauses of 8 s in total.
    alert = expect(page.get_by_role("alert"))
    alert.to_contain_text("could not be loaded", timeout=75_000)


def test_a_page_opens_when_the_server_answers_again(page: Page, site: Site) -> None:
    failures = 2

    def fail_twice(route: Route) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            route.abort("connectionrefused")
        else:
            route.continue_()

    for path in ("api/v1/session", "healthz"):
        page.route(f"**/{path}", fail_twice)
    page.goto(site.url)
    expect(page.get_by_role("status")).to_contain_text("does not answer")
    expect(page.locator("h1")).to_have_text("Jobs")
    assert not failures
    expect(page.locator(".top")).to_have_css("position", "sticky")


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
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    job = site.job([shell("echo hello")])
    site.log_in(page)
    page.get_by_role("link", name="A job of the tests").first.click()
    page.goto(f"{site.url}/jobs/{job}")
    page.go_back()
    storage = page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])"
    )
    logs = [path.read_text() for path in site.server.folder.rglob("*.jsonl")]
    for text in (*addresses, storage, page.content(), site.server.output, *logs):
        assert KEY not in text
    assert all(re.match(re.escape(site.url), address) for address in addresses)


def test_a_key_that_reads_sees_no_buttons(context: BrowserContext, site: Site) -> None:
    job = site.job([shell("exit 1", retries=0)])
    page = context.new_page()
    site.log_in(page, f"/jobs/{job}/table", key=READER)
    expect(page.locator(".pill")).to_have_text("failed")
    page.locator("tbody [data-row]").first.focus()
    page.keyboard.press("x")
    for role in ("button", "checkbox"):
        expect(page.get_by_role(role, name=re.compile("Retry|Select"))).to_have_count(0)
    page.goto(site.url)
    expect(page.get_by_role("link", name="A job of the tests").first).to_be_visible()
    expect(page.get_by_role("link", name="New job")).to_have_count(0)
