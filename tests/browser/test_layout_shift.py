"""Late content of a page does not move content that a person already reads."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.site import Site, shell
from tests.support.examples import nightly

#: Maximum sum of the scores of a page's shifts. Numbers at the top of the page cause 0.001.
MOST_SHIFT = 0.005
SHIFTS = """
addEventListener("load", () => scrollTo(0, 0));
window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map((each) => each.value)))
  .observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def job(site: Site) -> str:
    """A job with a conflict, and with logs of many lines."""
    both = [f"echo {word} > README.md; seq 40" for word in ("red", "blue")]
    return site.job([shell(each, git="on") for each in both], resolve="off", labels={"team": "a"})


def with_costs(route: Route) -> None:
    """Add costs to answers, because the chart needs them."""
    body = route.fetch().json()
    route.fulfill(json={**body, "rows": [{**row, "cost_usd": 0.5} for row in body["rows"]]})


@pytest.mark.parametrize("width", [390, *nightly(1440)])
@pytest.mark.parametrize(
    ("path", "late", "early", "shown"),
    [
        ("/", r"/api/v1/jobs\?", r"/needs\?page_size=200", "#needs"),
        ("/agents", "/api/v1/agents", "/api/v1/locks", "table.tbl td"),
        *nightly(
            ("/agents", "/api/v1/keys", "/api/v1/agents", "table.tbl td"),
            ("/new", "/api/v1/agents", "/api/v1/stats", "fieldset"),
        ),
        ("/costs", r"/api/v1/jobs\?depth", "/usage.*by=agent", ".timeplot canvas"),
        ("/jobs/{job}", "/conflicts$", "/columns", ".dag .node.st-failed"),
        ("/jobs/{job}/w/worker_1", "/logs/", "/workers/worker_1$", "main [role=log]"),
        *nightly(
            (
                "/jobs/{job}/changes?conflict=worker_2",
                "/conflicts/worker_2",
                "/conflicts$",
                ".three",
            ),
            (
                "/jobs/{job}/w/worker_1",
                "/checkpoints",
                "/workers/worker_1$",
                "aside .mono:text('1-after')",
            ),
        ),
    ],
)
def test_a_late_part_moves_no_other_part(
    page: Page, site: Site, job: str, path: str, late: str, early: str, shown: str, width: int
) -> None:
    if path == "/":
        site.job([{"id": "ok", "approve": "Go on?"}], wait=False)
    page.set_viewport_size({"width": width, "height": 860})
    page.add_init_script(SHIFTS)
    if path == "/costs":
        page.route("**/api/v1/usage?*", with_costs)
    held: list[Route] = []
    is_late = re.compile(late)
    page.route(is_late, lambda route: held.append(route))
    with page.expect_response(re.compile(early)) as answer:
        page.goto(site.url + path.format(job=job))
    answer.value.finished()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    for route in held:
        route.continue_()
    page.unroute(is_late)
    expect(page.locator(shown).first).to_be_attached()
    page.wait_for_function("() => !document.querySelector('[aria-busy]')")
    assert sum(page.evaluate("() => shifts")) < MOST_SHIFT
