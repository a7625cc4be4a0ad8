"""The server is killed under an open page, and the page is right again soon after its return."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.site import Site, new_site, shell

BACK_SECONDS = 3.0


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    made = new_site(tmp_path)
    yield made
    made.server.stop()


def test_a_page_survives_a_killed_server(context: BrowserContext, own_site: Site) -> None:
    go = own_site.project.path / "go"
    job = own_site.job([shell(f"until [ -e '{go}' ]; do sleep 0.05; done; echo done")], wait=False)
    page = context.new_page()
    own_site.log_in(page, f"/jobs/{job}")
    expect(page.locator(".jobhead")).to_contain_text("1 running")
    page.evaluate("() => { window.sameDocument = true; }")
    own_site.server.stop(signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    go.touch()
    own_site.server.start()
    began = time.monotonic()
    expect(page.locator(".banner.ok")).to_be_visible(timeout=BACK_SECONDS * 1000)
    with own_site.client() as client:
        client.wait(job, timeout=60)
    expect(page.locator(".pill")).to_have_text("completed", timeout=10_000)
    assert page.evaluate("() => window.sameDocument")
    assert time.monotonic() - began < 60
