"""Results of gates, as a person reads them: passed, failed with the output, or did not run."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Site, shell

MISSING = {"run": "no-such-program-of-the-tests", "required": False}
MAKE = "echo made > made.txt"
#: Script that records the bars on canvases.
BARS = """
  window.bars = [];
  const draw = CanvasRenderingContext2D.prototype.roundRect;
  CanvasRenderingContext2D.prototype.roundRect = function (x, y, width, ...more) {
    window.bars.push({ x, width, alpha: this.globalAlpha });
    return draw.call(this, x, y, width, ...more);
  };
"""


def test_a_gate_that_did_not_run_is_not_counted_as_failed(page: Page, site: Site) -> None:
    gates = [{"name": "fits", "run": "test -d ."}, {"name": "unit", **MISSING}]
    both = shell(MAKE, id="both", title="Both", git="on", gates=gates)
    none = shell(MAKE, id="none", title="None", git="on", gates=gates[1:])
    job = site.job([both, none], gates="off", resolve="off")
    page.goto(f"{site.url}/jobs/{job}")
    page.locator(".dag .node", has_text="Both").click()
    expect(page.locator("aside")).to_contain_text("gates: 1/1, 1 did not run")
    page.locator(".dag .node", has_text="None").click()
    expect(page.locator("aside")).to_contain_text("gates: 1 did not run")
    page.keyboard.press("2")
    for title, cell in (("Both", "1/1, 1 did not run"), ("None", "1 did not run")):
        row = page.get_by_role("row", name=title)
        expect(row.get_by_role("cell", name=cell, exact=True)).to_be_visible()
    page.get_by_role("link", name="None").click()
    gate = page.get_by_role("listitem").filter(has_text="unit")
    expect(gate).to_contain_text("did not run: program not found")


def test_the_timeline_shows_the_gates_of_an_attempt(page: Page, site: Site) -> None:
    unit = {"name": "unit", "run": "sleep 0.5"}
    job = site.job([shell(MAKE, git="on", gates=[unit])], gates=[])
    page.add_init_script(BARS)
    page.goto(f"{site.url}/jobs/{job}/timeline")
    page.wait_for_function("() => window.bars.some((bar) => bar.alpha < 1)")
    work, gate = page.evaluate("() => window.bars.slice(-2)")
    assert (work["alpha"], gate["alpha"]) == (1, 0.5)
    assert gate["x"] == pytest.approx(work["x"] + work["width"], abs=2)


def test_the_output_of_a_failed_gate_is_before_the_log(page: Page, site: Site) -> None:
    unit = {"name": "unit", "run": "echo 41 is not 42; exit 1"}
    job = site.job([shell(MAKE, git="on", gates=[unit], retries=0)], gates=[])
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    output = page.get_by_role("region", name="Gate unit failed")
    expect(output).to_contain_text("41 is not 42")
    gates = page.locator("aside section", has=page.get_by_role("heading", name="Gates"))
    expect(gates.get_by_role("listitem")).to_have_text(re.compile("unit.*exit code 1"))
