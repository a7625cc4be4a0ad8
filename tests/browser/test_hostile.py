"""Texts of workers have no effect in a page: no markup, script, request, or control character."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import REPORTS
from tests.browser.site import Site, shell

MARKUP = "<img src=x onerror=document.title='owned'>"
LINK = "[here](javascript:document.title='owned')"
#: The report escapes such characters.
ESCAPED = r"a\n|b & c_d ~e $f"
CONTROL = "\u202eevil\u0007\u001b]0;owned\u0007"
TASK = {"title": f"{MARKUP}{ESCAPED}{CONTROL}", "id": "hostile"}
VIEWS = (
    "",
    "/table",
    "/timeline",
    "/report",
    "/events",
    "/t/hostile",
    "/changes?worker=worker_2",
    "/w/worker_1",
)


def test_texts_of_workers_are_inert_on_every_page(page: Page, site: Site) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("dialog", lambda dialog: addresses.append("a dialog"))
    lines = f'echo "{MARKUP} {LINK}"; echo "::group::{MARKUP}"'
    command = f"{lines}; printf '\\033[31mred\\033[0m \\033]0;owned\\007'; exit 1"
    evil = "printf '<img src=x onerror=alert(1)>\\n\\342\\200\\256gnp.exe\\n' > evil.html"
    long = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after"
    tasks = [shell(command, retries=0, **TASK), shell(f"{long}; {evil}", git="on")]
    job = site.job(tasks, request=f"{MARKUP} {LINK}")

    for path in VIEWS:
        page.goto(f"{site.url}/jobs/{job}{path}")
        page.locator(".jobhead h1, main h1").first.wait_for()
        page.wait_for_function("() => !document.querySelector('[aria-busy]')")
        assert page.locator("main img, main script").count() == 0, path
        assert page.locator("a[href^='javascript:']").count() == 0, path
        assert page.title() != "owned", path
        if path == "/report":
            expect(page.locator("main h3").first).to_contain_text(f"{MARKUP}{ESCAPED}")
        if "changes" in path:
            expect(page.get_by_role("cell", name="<img src=x onerror=alert(1)>")).to_be_visible()
            expect(page.get_by_role("cell", name="\\u202egnp.exe")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("<img src=x onerror=")
    expect(page.locator(".a-r")).to_have_text("red")
    expect(page.locator("h1")).to_contain_text("\\u202eevil\\u0007")
    # A line of three megabytes does not stop the page.
    page.goto(f"{site.url}/jobs/{job}/w/worker_2")
    expect(page.get_by_role("log")).to_contain_text("more characters")
    expect(page.get_by_role("log")).to_contain_text("after")
    assert all(address.startswith(site.url) for address in addresses)


def test_a_wide_title_stays_in_its_box(page: Page, site: Site) -> None:
    job = site.job([shell("true", title=each) for each in ("W" * 40, "\u65e5\u672c" * 20)])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .node").nth(1)).to_be_visible()
    # The lines are in an inner svg, which the box contains.
    outside = """(nodes) => nodes.filter((node) => {
      const [box, lines] = [node.querySelector("rect"), node.querySelector("svg:has(text)")];
      const end = (each) => each.x.baseVal.value + each.width.baseVal.value;
      return !lines || end(lines) > end(box) || getComputedStyle(lines).overflow !== "hidden";
    }).length"""
    assert page.locator(".dag .node").evaluate_all(outside) == 0
    shown = page.locator(".dag .l1").all_text_contents()
    assert [text[-1] for text in shown] == ["\u2026", "\u2026"]
    assert len(shown[1]) < len(shown[0])


def test_a_policy_refuses_markup_of_scripts(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.add_init_script(REPORTS)
    page.goto(site.url)
    page.locator("main").wait_for()
    # Without such a message, the fixture ``page`` would not notice violations.
    with page.expect_console_message(
        lambda line: line.text.startswith("refused: require-trusted-types-for")
    ):
        refused = page.evaluate(
            """() => {
              try { document.querySelector("main").innerHTML = "<b>x</b>"; return false; }
              catch (error) { return error instanceof TypeError; }
            }"""
        )
    assert refused
