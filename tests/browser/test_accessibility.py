"""axe finds nothing on any page, in both themes, at both widths; nothing overflows."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.site import Site, shell

WIDTHS = {"phone": (390, 844), "laptop": (1280, 860)}
PAGES = (
    "/",
    "/new",
    "/agents",
    "/costs",
    "/jobs/{job}/nothing",
    "/jobs/{job}",
    "/jobs/{job}/table",
    "/jobs/{job}/timeline",
    "/jobs/{job}/changes",
    "/jobs/{job}/report",
    "/jobs/{job}/events",
    "/jobs/{job}/w/worker_1",
    "/jobs/{job}/w/worker_2?tab=prompt",
    "/jobs/{job}/t/first",
    "/jobs/00000000",
)


@pytest.fixture(scope="module")
def job(site: Site) -> str:
    tasks = '[{"title": "Below", "agent": "shell", "command": "true"}]'
    spawn = f"echo '{tasks}' > t.json; orchestrator spawn c --tasks t.json --wait"
    return site.job(
        [
            shell(f"echo hello; {spawn}", id="first"),
            shell("echo change > NEW.md; echo more >> README.md", id="second", git="on"),
            shell("printf '\\033[31mred\\033[32mgreen\\033[33myellow\\033[34mblue\\033[0m'; exit 1",
                  id="third", retries=1),
            shell("true", depends_on=["third"]),
        ],
        labels={"team": "web"},
    )  # fmt: skip


@pytest.fixture
def checked(page: Page, axe: str) -> Iterator[Page]:
    page.add_init_script(axe)
    yield page


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("light", "laptop"),
        ("dark", "phone"),
        pytest.param("light", "phone", marks=pytest.mark.nightly),
        pytest.param("dark", "laptop", marks=pytest.mark.nightly),
    ],
)
def test_no_page_has_a_fault(checked: Page, site: Site, job: str, theme: str, width: str) -> None:
    x, y = WIDTHS[width]
    checked.set_viewport_size({"width": x, "height": y})
    checked.evaluate("(theme) => localStorage.setItem('theme', theme)", theme)
    wrong = {}
    for path in PAGES:
        checked.goto(site.url + path.format(job=job))
        settle(checked)
        if found := faults(checked):
            wrong[path] = found
    assert wrong == {}


def test_the_login_has_no_fault(context: BrowserContext, site: Site, axe: str) -> None:
    page = context.new_page()
    page.add_init_script(axe)
    page.goto(site.url)
    settle(page)
    assert faults(page) == []


def test_every_page_has_one_heading_and_one_main(page: Page, site: Site, job: str) -> None:
    for path in PAGES:
        page.goto(site.url + path.format(job=job))
        settle(page)
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
