"""The server is killed under an open page; the page is correct again soon after the restart."""

import signal

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.site import Site, shell
from tests.support.examples import AT_NIGHT

#: Only the machine of the night is quiet enough for the time to mean something.
BACK_MS = 3000.0 if AT_NIGHT else PATIENCE_MS


def test_a_page_survives_a_killed_server(page: Page, site: Site) -> None:
    go = site.project.path / "restarted"
    job = site.job([shell(f"until [ -e '{go}' ]; do sleep 0.05; done; echo done")], wait=False)
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".jobhead")).to_contain_text("1 running")
    page.evaluate("() => { window.sameDocument = true; }")
    site.server.stop(signal.SIGKILL)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    go.touch()
    site.server.start()
    expect(page.locator(".banner.ok")).to_be_visible(timeout=BACK_MS)
    with site.client() as client:
        client.wait(job, timeout=60)
    expect(page.locator(".pill")).to_have_text("completed", timeout=BACK_MS)
    assert page.evaluate("() => window.sameDocument")
