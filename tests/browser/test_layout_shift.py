"""Parts of a page that arrive late do not move the parts that a person already reads."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.site import Site

#: Sum of the scores of a page's shifts. Numbers at the top of the page account for 0.001.
MOST_SHIFT = 0.005
SHIFTS = """
addEventListener("load", () => scrollTo(0, 0));
window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map((each) => each.value)))
  .observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(
    ("path", "late", "early", "shown"),
    [
        ("/", r"/api/v1/jobs\?", r"/needs\?page_size=200", "#needs"),
        ("/agents", "/api/v1/agents", "/api/v1/locks", "table.tbl td"),
        ("/agents", "/api/v1/keys", "/api/v1/agents", "table.tbl td"),
        ("/new", "/api/v1/agents", "/api/v1/stats", "fieldset"),
    ],
)
def test_a_late_part_moves_no_other_part(
    page: Page, site: Site, path: str, late: str, early: str, shown: str, width: int
) -> None:
    if path == "/":
        site.job([{"id": "ok", "approve": "Go on?"}], wait=False)
    page.set_viewport_size({"width": width, "height": 860})
    page.add_init_script(SHIFTS)
    held: list[Route] = []
    page.route(re.compile(late), lambda route: held.append(route))
    with page.expect_response(re.compile(early)) as answer:
        page.goto(site.url + path)
    answer.value.finished()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    for route in held:
        route.continue_()
    page.unroute_all()
    expect(page.locator(shown).first).to_be_visible()
    assert sum(page.evaluate("() => shifts")) < MOST_SHIFT
