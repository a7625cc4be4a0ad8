"""Texts of workers stay texts: no markup, no script, no request, no control characters."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site, shell

MARKUP = "<img src=x onerror=document.title='owned'>"
LINK = "[here](javascript:document.title='owned')"
CONTROL = "\u202eevil\u0007\u001b]0;owned\u0007"
TASK = {"title": f"{MARKUP}{CONTROL}", "id": "hostile"}


def test_texts_of_workers_are_inert_on_every_page(page: Page, site: Site) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append("a dialog"))
    command = f"echo \"{MARKUP} {LINK}\"; printf '\\033[31mred\\033[0m \\033]0;owned\\007'; exit 1"
    job = site.job([shell(command, retries=0, **TASK)], request=f"{MARKUP} {LINK}")
    for path in ("", "/table", "/timeline", "/report", "/events", "/w/worker_1", "/t/hostile"):
        page.goto(f"{site.url}/jobs/{job}{path}")
        page.locator(".jobhead h1, main h1").first.wait_for()
        expect(page.locator("main")).to_be_visible()
        assert page.locator("main img, main script").count() == 0
        assert page.locator("a[href^='javascript:']").count() == 0
        assert page.title() != "owned"
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    expect(page.get_by_role("log")).to_contain_text("<img src=x onerror=")
    expect(page.locator(".a-r")).to_have_text("red")
    expect(page.locator("h1")).to_contain_text("\\u202eevil\\u0007")
    assert all(address.startswith(site.url) for address in asked)


def test_a_line_of_many_megabytes_does_not_stop_the_page(page: Page, site: Site) -> None:
    job = site.job([shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after")])
    page.goto(f"{site.url}/jobs/{job}/w/worker_1")
    expect(page.get_by_role("log")).to_contain_text("more characters")
    expect(page.get_by_role("log")).to_contain_text("after")


def test_a_policy_refuses_markup_of_scripts(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    site.log_in(page)
    refused = page.evaluate(
        """() => {
          try { document.querySelector("main").innerHTML = "<b>x</b>"; return false; }
          catch (error) { return error instanceof TypeError; }
        }"""
    )
    assert refused
