"""A job of 10,000 workers: the document has few elements, whatever the number of workers."""

import re
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.site import Site, shell

WORKERS = 10_000
MOST_NODES = 5_000
#: Maximum processor time of the page's thread for one frame: half of a frame at 30 Hz.
FRAME_CPU_MS = 17
SCROLL_SECONDS = 5
#: On a loaded machine, fewer frames are drawn, but the events of the same time are processed.
LEAST_FRAMES = 30 * SCROLL_SECONDS
HEAP_BYTES = 60 * 1024**2

COUNT_NODES = "() => document.querySelectorAll('*').length"
SCROLLED_FRAMES = """(seconds) => new Promise((resolve) => {
  const times = [];
  const begun = performance.now();
  let last = begun;
  const frame = (now) => {
    times.push(now - last);
    last = now;
    scrollBy(0, 60);
    if (now - begun < seconds * 1000) requestAnimationFrame(frame);
    else resolve(times.sort((a, b) => a - b));
  };
  requestAnimationFrame(frame);
})"""


def plain(first: str, workers: int = WORKERS, each: str = "true") -> list[dict[str, Any]]:
    """Return tasks that all depend on the first task."""
    rest = (shell(each, id=f"t{k}", depends_on=["first"]) for k in range(1, workers))
    return [shell(first, id="first", title="The first", retries=0), *rest]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("workers", [1_200, pytest.param(WORKERS, marks=pytest.mark.nightly)])
def test_thousands_of_workers_are_few_elements(page: Page, site: Site, workers: int) -> None:
    job = site.job(plain("exit 1", workers), git="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator("canvas.strip")).to_be_visible()
    assert page.evaluate(COUNT_NODES) <= MOST_NODES
    page.keyboard.press("2")
    rows = page.locator("tbody tr:not(.space)")
    expect(rows.nth(0)).to_contain_text("The first")
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_text(f"worker_{workers}", exact=True)).to_be_visible()
    assert page.evaluate(COUNT_NODES) <= MOST_NODES
    page.keyboard.press("3")
    name = re.compile(f"Timeline of {workers:,} lanes")
    expect(page.get_by_role("img", name=name)).to_be_visible()
    assert page.evaluate(COUNT_NODES) <= MOST_NODES


def test_a_number_of_a_step_lists_its_workers(page: Page, site: Site) -> None:
    first = [shell(f"echo {k}; exit {k % 2}", id=f"f{k}", retries=0) for k in range(4)]
    then = [
        shell(f"echo {k}; exit 1", id=f"t{k}", depends_on=["f0"], retries=0) for k in range(300)
    ]
    job = site.job([*first, *then], git="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    steps = page.locator("li.rank")
    steps.nth(0).get_by_role("link", name="2 failed").click()
    expect(page.locator(".foot")).to_contain_text("2 workers")
    page.get_by_role("button", name="Show all steps").click()
    expect(page.locator(".foot")).to_contain_text("302 workers")
    page.go_back()
    steps.nth(1).get_by_role("heading").get_by_role("link").click()
    expect(page.locator(".foot")).to_contain_text("300 workers")
    page.go_back()
    page.get_by_role("link", name="exit code 1: ").first.click()
    expect(page.locator(".foot")).to_contain_text("302 workers")


@pytest.mark.nightly
def test_the_graph_has_one_box_for_many_equal_tasks(page: Page, site: Site) -> None:
    """Failed tasks of the group are visible. A click or Enter shows the other tasks."""
    build = shell("true", id="build", title="Build")
    tests = [
        shell(f"exit {int(k == 77)}", id=f"t{k}", title=f"Test {k}", depends_on=["build"])
        for k in range(100)
    ]
    pack = shell("true", id="pack", title="Pack", depends_on=["t1", "t2"])
    job = site.job([build, *tests, pack], git="off", gates=[], max_retries=0)
    page.goto(f"{site.url}/jobs/{job}")
    graph = page.get_by_role("group", name="Graph of the job: 102 tasks")
    expect(graph).to_contain_text("Test · 100 tasks")
    expect(graph).to_contain_text("99 succeeded, 1 failed")
    expect(graph.get_by_role("link")).to_have_text(
        [re.compile("^Build"), re.compile("^Test 77 exit code 1"), re.compile("^Pack")]
    )
    box = graph.bounding_box()
    assert box is not None and box["height"] < 400
    expect(graph.locator(".edge")).to_have_count(2)

    graph.get_by_role("button", name="Show all 100 tasks").focus()
    page.keyboard.press("Enter")
    expect(graph.get_by_role("link")).to_have_count(102)
    graph.get_by_role("link", name="Test 5: success").click()
    expect(page.locator("aside h3")).to_have_text("Test 5")
    page.keyboard.press("ArrowDown")
    expect(page.locator("aside h3")).to_have_text("Test 6")
    graph.get_by_role("button", name="Show fewer tasks").click()
    expect(graph.get_by_role("link")).to_have_count(4)
    graph.get_by_role("button", name="Without successful tasks").click()
    expect(graph.get_by_role("link")).to_have_count(2)
    first = graph.get_by_role("link", name="Test 77").bounding_box()
    assert first is not None and first["x"] < box["x"] + box["width"] / 2
    page.set_viewport_size({"width": 390, "height": 844})
    then = page.locator(".ranks section").nth(1)
    expect(then.locator("li").first).to_contain_text("Test 77")
    expect(then.get_by_role("link")).to_have_count(5)
    then.get_by_role("button", name="Show all 100 tasks").click()
    expect(then.get_by_role("link")).to_have_count(100)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_ten_thousand_workers_need_little_processor_time_and_memory(page: Page, site: Site) -> None:
    """The table of 10,000 workers is scrolled while they run, with about 200 events a second.

    The processor time of the page's thread is checked. The times until the page is ready and
    between frames are only printed, because they depend on other load.
    """
    go = site.project.path / "begin"
    first = f"until [ -e '{go}' ]; do sleep 0.05; done"
    tasks = plain(first, each="sleep 0.1")
    job = site.job(tasks, wait=False, git="off", gates=[], max_workers=10)
    page.goto(f"{site.url}/jobs/{job}/table")
    page.locator("tbody a").first.wait_for()
    page.reload()
    page.locator("tbody a").first.wait_for()
    ready = page.evaluate("() => performance.now()")
    go.touch()
    expect(page.locator(".jobhead")).to_contain_text("succeeded")
    thread = page.context.new_cdp_session(page)
    thread.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, begun = _busy_seconds(thread), _last_event(site, job)
    times = page.evaluate(SCROLLED_FRAMES, SCROLL_SECONDS)
    busy = 1000 * (_busy_seconds(thread) - before) / max(len(times), LEAST_FRAMES)
    events = (_last_event(site, job) - begun) / SCROLL_SECONDS
    with site.client() as client:
        client.cancel(job)
    heap = page.evaluate("() => performance.memory.usedJSHeapSize")
    p95 = times[int(len(times) * 0.95)]
    figures = (
        f"ready {ready:.0f} ms, frames p95 {p95:.0f} ms, {busy:.1f} ms of processor a frame, "
        f"{events:.0f} events/s, heap {heap / 1e6:.0f} MB"
    )
    print(figures)
    assert busy <= FRAME_CPU_MS and heap <= HEAP_BYTES, figures


def _busy_seconds(thread: CDPSession) -> float:
    """Processor time of the page's main thread."""
    metrics = thread.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


def _last_event(site: Site, job: str) -> int:
    with site.client() as client:
        return int(client.status(job)["seq"])
