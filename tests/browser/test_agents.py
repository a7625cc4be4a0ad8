"""The page Agents: the checks of the installation."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.site import KEY, READER, Site
from tests.browser.test_accessibility import faults


def test_the_doctors_checks_are_shown_and_the_passed_ones_on_request(
    page: Page, site: Site
) -> None:
    with site.client() as client:
        checks = client.doctor()["checks"]
    passed = [each for each in checks if each.get("ok")]
    others = [each for each in checks if not each.get("ok")]
    page.goto(f"{site.url}/agents")
    doctor = page.locator("section", has=page.get_by_role("heading", name="Doctor"))
    more = doctor.get_by_role("button", name=re.compile(r"Show \d+ checks that passed"))
    expect(more).to_contain_text(f"Show {len(passed)} checks")
    for each in others:
        expect(doctor).to_contain_text(each["message"])
    more.click()
    for each in passed:
        expect(doctor).to_contain_text(each["name"])


def test_a_reader_sees_the_servers_health_only(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    site.log_in(page, "/agents", READER)
    doctor = page.locator("section", has=page.get_by_role("heading", name="Doctor"))
    expect(doctor).to_contain_text("may not read the checks of the installation")
    expect(doctor).to_contain_text("store")
    expect(doctor.get_by_role("button")).to_have_count(0)


@pytest.mark.nightly
def test_only_an_admin_drains_nodes(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    node = {"name": "gpu1", "state": "up", "slots": 4, "running": 3, "waiting": 0, "labels": {}}
    node |= {"agents": [], "unusable_agents": [], "drained": False, "notice": "", "version": ""}
    node |= dict.fromkeys(["memory_bytes", "disk_bytes", "seen_seconds"])
    page.route("**/api/v1/nodes", lambda route: route.fulfill(json={"nodes": [node]}))
    site.log_in(page, "/agents", READER)
    nodes = page.locator("section", has=page.get_by_role("heading", name="Nodes"))
    expect(nodes).to_contain_text("gpu1")
    expect(nodes.get_by_role("button")).to_have_count(0)
    for key, status in ((READER, 403), (KEY, 404)):
        url = f"{site.url}/api/v1/nodes/gpu1/drain"
        answer = page.request.post(url, headers={"X-API-Key": key}, data={})
        assert answer.status == status
    assert "known: none, because cluster.listen is not set" in answer.json()["detail"]


def test_the_nodes_of_a_cluster_are_shown(page: Page, site: Site, axe: str) -> None:
    node = {
        **{"name": "gpu1", "state": "unreachable", "slots": 4, "running": 3, "waiting": 0},
        "unusable_agents": [
            {"name": "codex", "reason": "not found", "fix": ["npm install -g @openai/codex"]}
        ],
        **{"agents": ["claude", "shell"], "labels": {"gpu": "true"}, "memory_bytes": 2**31},
        "disk_bytes": 3 * 2**30,
        "drained": False,
        **{"address": "10.0.0.7", "version": "0.1.0", "seen_seconds": 6.25},
        **{"clock_skew_seconds": 0.0, "notice": "3 workers start again on other machines in 5 s"},
    }
    page.route("**/api/v1/nodes", lambda route: route.fulfill(json={"nodes": [node]}))

    def drain(route: Route) -> None:
        assert route.request.method == "POST"
        node["drained"] = route.request.url.endswith("/gpu1/drain")
        route.fulfill(json=node)

    page.route("**/api/v1/nodes/gpu1/*", drain)
    page.set_viewport_size({"width": 390, "height": 844})
    page.add_init_script(axe)
    page.goto(f"{site.url}/agents")
    nodes = page.locator("section", has=page.get_by_role("heading", name="Nodes"))
    for text in (
        "unreachable",
        "gpu1",
        "gpu=true",
        "claude, shell",
        "3 of 4",
        "2.0 GiB",
        "3.0 GiB",
        "in 5 s",
    ):
        expect(nodes).to_contain_text(text)
    nodes.get_by_text("1 agent to fix").click()
    expect(nodes.get_by_text("npm install -g @openai/codex")).to_be_visible()
    assert faults(page) == []
    nodes.get_by_role("button", name="Drain gpu1", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Drain", exact=True).click()
    nodes.get_by_role("button", name="Undrain gpu1").click()
    expect(nodes.get_by_role("button", name="Drain gpu1", exact=True)).to_be_visible()


def test_on_a_phone_the_values_of_an_agent_have_labels(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site.url}/agents")
    row = page.locator("tr", has=page.get_by_text("shell", exact=True))
    login = row.get_by_role("cell", name="none needed")
    expect(login).to_be_visible()
    label = login.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert label.startswith('"Login')
