"""Debian's Chromium, and a real server with its own project."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    StorageState,
    expect,
    sync_playwright,
)

from tests.agents.model_api import ModelApi
from tests.browser import steady_network
from tests.browser.site import Site, new_site
from tests.integration.engine.service.reruns.reviewed import settings
from tests.support.programs import TOOLS, skip_or_fail

#: Options with which Chromium searches for no updates, and calls only the server under test.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # In containers, /dev/shm is small, and Chromium fails without a message if /dev/shm is full.
    "--disable-dev-shm-usage",
)
#: Options of each page. Without animations, because a test may measure colors while they change.
SEEN: Any = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"}
#: Script that prints each violation of the page's security policy as an error of the console.
REPORTS = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`refused: ${event.violatedDirective} ${event.blockedURI}`))"""
#: Timeout of each expectation, in milliseconds: long, because a busy machine is slow.
PATIENCE_MS = 60_000.0
AXE = TOOLS / "node" / "node_modules" / "axe-core" / "axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        skip_or_fail("chromium is not installed (Debian: sudo apt install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    start = tmp_path_factory.mktemp("chromium") / "start"
    command = shlex.join([sys.executable, "-P", steady_network.__file__, program])
    start.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    start.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=start, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.is_file():
        skip_or_fail("axe-core is not installed; ./run-tests.sh installs it")
    return AXE.read_text("utf-8")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a scripted model and the agent ``writer``, whose mistakes comments correct."""
    folder = tmp_path_factory.mktemp("browser")
    with ModelApi() as models:
        variables = {"ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": models.url}
        made = new_site(folder, agents=settings(folder), variables=variables)
        made.models = models
        yield made
        made.server.stop()


@pytest.fixture(scope="session")
def session(chromium: Browser, site: Site) -> StorageState:
    """A login with the form, which all pages of the tests share."""
    with chromium.new_context() as context:
        site.log_in(context.new_page())
        return context.storage_state()


@pytest.fixture
def context(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser without a login."""
    with chromium.new_context(**SEEN) as context:
        requests: list[str] = []
        context.on("request", lambda sent: requests.append(f"{sent.method} {sent.url}"))
        context.on("requestfailed", lambda sent: requests.append(f"failed: {sent.url}"))
        failed = request.session.testsfailed
        yield context
        if request.session.testsfailed > failed:
            for page in context.pages:
                print(f"{page.url} shows:", page.locator("body").inner_text()[:2000])
            print("requests:", *requests[-60:], sep="\n")


@pytest.fixture
def page(
    chromium: Browser, session: StorageState, site: Site, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A page with a login. Script errors and violations of the policy fail the test."""
    with chromium.new_context(storage_state=session, **SEEN) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if is_fault(line) else None)
        page.add_init_script(REPORTS)
        unanswered: set[Request] = set()
        failures: list[str] = []

        def failed_request(sent: Request) -> None:
            unanswered.discard(sent)
            failures.append(f"{sent.url}: {sent.failure}")

        page.on("request", lambda sent: unanswered.add(sent))
        page.on("requestfinished", lambda sent: unanswered.discard(sent))
        page.on("requestfailed", failed_request)
        page.on("framenavigated", lambda frame: failures.append(f"went to {frame.url}"))
        failed = request.session.testsfailed
        yield page
        # A request that a test answers itself may still be in flight.
        page.unroute_all(behavior="ignoreErrors")
        if request.session.testsfailed > failed:
            print(f"{page.url} shows:", page.locator("body").inner_text()[:2000])
            print("complaints:", *complaints, sep="\n")
            print("requests without an answer:", *(each.url for each in unanswered), sep="\n")
            print("navigations, and failed requests:", *failures, sep="\n")
            log = site.server.folder / "logs" / "orchestrator.log"
            print("the server's log:", log.read_text()[-6000:] if log.exists() else "none")
        assert complaints == []


def is_fault(line: object) -> bool:
    """True for a script's error or a violation of the policy; False for an answer 4xx."""
    kind, text = getattr(line, "type", ""), getattr(line, "text", "")
    return kind == "error" and not text.startswith("Failed to load resource")
