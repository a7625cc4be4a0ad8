"""The pages of these tests do not notice network interfaces that other tests create and remove."""

import threading

from playwright.sync_api import Page, expect

from tests.browser.site import Site
from tests.support.machines import namespaces


def test_pages_load_while_network_interfaces_appear_and_disappear(page: Page, site: Site) -> None:
    failures: list[str] = []
    page.on("requestfailed", lambda sent: failures.append(f"{sent.url}: {sent.failure}"))
    with namespaces(1):
        pass  # skips the test if this machine cannot create namespaces
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            with namespaces(1):
                pass

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(5):
            page.goto(f"{site.url}/costs")
            expect(page.locator("h1")).to_have_text("Costs")
    finally:
        done.set()
        changing.join()
    assert not [each for each in failures if "NETWORK_CHANGED" in each]
