"""Debian's chromium, driven as a person would, against a real server with a project of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.acceptance.conftest import Server
from tests.browser.site import Site, new_site
from tests.programs import TOOLS, lacking

#: Chromium must not look for updates, or call anything but the server under test.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = TOOLS / "node" / "node_modules" / "axe-core" / "axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        lacking("chromium is not installed (Debian: sudo apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.is_file():
        lacking("axe-core is not installed; ./run-tests.sh installs it")
    return AXE.read_text("utf-8")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = new_site(tmp_path_factory.mktemp("browser"))
    yield made
    made.server.stop()


@pytest.fixture
def server(site: Site) -> Server:
    return site.server


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    size: ViewportSize = {"width": 1280, "height": 860}
    # Colours that change over time would be measured in between.
    with chromium.new_context(viewport=size, reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Iterator[Page]:
    """A page with a login. Errors of its scripts fail the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if is_fault(line) else None)
    site.log_in(page)
    yield page
    assert complaints == []


def is_fault(line: object) -> bool:
    """True for a script's error and a policy's refusal; false for an answer 4xx."""
    kind, text = getattr(line, "type", ""), getattr(line, "text", "")
    return kind == "error" and not text.startswith("Failed to load resource")
