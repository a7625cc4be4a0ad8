"""axe reports no problem on any page, in two themes and two widths. No content overflows."""

from collections.abc import Sequence

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site, shell
from tests.support.examples import nightly

WIDTHS = {"phone": (390, 844), "laptop": (1280, 860)}
#: One page of each view; if a view has a page with long texts, that page.
PAGES = (
    "/",
    "/new",
    "/agents",
    "/costs",
    "/jobs/{job}/timeline",
    "/jobs/{job}/events",
    "/jobs/{plan}/plan",
    "/jobs/{ask}/w/worker_1",
    "/jobs/{job}/w/worker_3",
    "/jobs/{job}/t/first",
    "/jobs/{conflict}/changes?conflict=worker_2",
    "/jobs/{many}",
    "/jobs/00000000",
    "/jobs/{long}",
    "/jobs/{long}/table",
    "/jobs/{long}/changes?worker=worker_1",
    "/jobs/{long}/report",
)
#: More pages of these views.
MORE_PAGES = (
    "/jobs/{job}/nothing",
    "/jobs/{job}",
    "/jobs/{job}/table",
    "/jobs/{job}/timeline?by=slots",
    "/jobs/{job}/changes?worker=worker_2",
    "/jobs/{job}/report",
    "/jobs/{job}/w/worker_1",
    "/jobs/{job}/w/worker_2?tab=prompt",
    "/jobs/{job}/t/nothing",
    "/jobs/{long}/w/worker_1",
)
Jobs = dict[str, str]


@pytest.fixture(scope="module")
def jobs(site: Site) -> Jobs:
    tasks = '[{"title": "Below", "agent": "shell", "command": "true"}]'
    spawn = f"echo '{tasks}' > t.json; orchestrator spawn c --tasks t.json --wait"
    colors = "printf '\\033[31mred\\033[32mgreen\\033[33myellow\\033[34mblue\\033[0m'; exit 1"
    job = site.job(
        [
            shell(f"echo hello; {spawn}", id="first"),
            shell("echo change > NEW.md; echo more >> README.md", id="second", git="on"),
            shell(colors, id="third", retries=1),
            shell("true", depends_on=["third"]),
        ],
        labels={"team": "web"},
    )
    word = "longer" * 40
    long = shell(
        f"mkdir {word[:99]}; echo {word} | tee {word[:99]}/{word}.txt", id="long", git="on"
    )
    both = [shell(f"echo {word} > README.md", id=word, git="on") for word in ("red", "blue")]
    many = [shell(f"exit {int(k == 7)}", id=f"t{k}", title=f"Test {k}") for k in range(40)]
    return {
        "job": job,
        "conflict": site.job(both, resolve="off"),
        "many": site.job(many, git="off", gates=[], max_retries=0),
        "long": site.job([{**long, "title": word}], request=word * 9, labels={"k" * 30: "v" * 60}),
        "plan": site.job([shell("true", id="a")], wait=False, approve=True),
        "ask": site.job([{"id": "ok", "approve": "Go on?"}], wait=False),
    }


def faults(page: Page) -> list[str]:
    found = page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
          .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 160)}`))"""
    )
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    return [*found, *([f"overflows by {wide} px"] if wide > 0 else [])]


def settle(page: Page) -> None:
    page.locator("main h1, .jobhead h1, .login").first.wait_for()
    page.wait_for_function("() => !document.querySelector('[aria-busy]')")


def show(page: Page, theme: str, width: str) -> None:
    """Change theme and width of the current page."""
    x, y = WIDTHS[width]
    page.set_viewport_size({"width": x, "height": y})
    page.evaluate(
        """(theme) => {
          localStorage.setItem("theme", theme);
          document.documentElement.dataset.theme = theme;
          dispatchEvent(new Event("themechange"));
        }""",
        theme,
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("paths", [PAGES, *nightly((MORE_PAGES,))], ids=["each view", "more pages"])
def test_no_page_has_a_fault(
    page: Page, site: Site, jobs: Jobs, axe: str, paths: Sequence[str]
) -> None:
    """Each page is opened once, and checked in two themes and widths. It must have one ``h1`` and
    one ``main``.
    """
    page.add_init_script(axe)
    wrong = {}
    for path in paths:
        page.goto(site.url + path.format(**jobs))
        settle(page)
        counts = [page.locator(each).count() for each in ("h1", "main")]
        found = [] if counts == [1, 1] else [f"h1, main: {counts}"]
        for theme, width in (("light", "laptop"), ("dark", "phone")):
            show(page, theme, width)
            found += [f"{theme} {width}: {each}" for each in faults(page)]
        if found:
            wrong[path] = found
    assert wrong == {}


@pytest.mark.nightly
def test_the_head_has_one_line_in_a_narrow_window(page: Page, site: Site, jobs: Jobs) -> None:
    page.set_viewport_size({"width": 800, "height": 860})
    page.goto(site.url)
    page.locator(".bell").wait_for()
    lines = page.locator(".bell, .nav a, .top .btn, .servers summary")
    high = "(found) => found.map((each) => each.offsetHeight).filter((height) => height > 34)"
    assert lines.evaluate_all(high) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 800


@pytest.mark.nightly
@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_fault_in_another_theme_or_width(
    page: Page, site: Site, jobs: Jobs, axe: str, theme: str, width: str
) -> None:
    page.add_init_script(axe)
    page.goto(site.url)
    wrong = {}
    for path in (*PAGES, *MORE_PAGES):
        show(page, theme, width)
        page.goto(site.url + path.format(**jobs))
        settle(page)
        if found := faults(page):
            wrong[path] = found
    assert wrong == {}


def test_the_login_has_no_fault(context: BrowserContext, site: Site, axe: str) -> None:
    page = context.new_page()
    page.add_init_script(axe)
    page.goto(site.url)
    settle(page)
    assert faults(page) == []


def test_screen_readers_read_the_end_of_a_job(page: Page, site: Site) -> None:
    go = site.project.path / "product" / "go-on"
    job = site.job([shell(f"until test -e {go}; do sleep 0.05; done")], wait=False, gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    status = page.get_by_role("status").filter(has_text="The job has ended")
    expect(page.locator(".dag .node")).to_be_visible()
    expect(status).to_have_count(0)
    go.touch()
    expect(status).to_have_text("The job has ended: completed")
