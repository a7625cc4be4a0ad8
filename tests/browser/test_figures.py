"""Pages show the figures, times, and words of the API in readable form."""

import itertools
import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.site import Site, shell

#: Script that records the texts on canvases.
DRAWN = """
  window.drawn = [];
  const draw = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.drawn.push(String(text));
    return draw.call(this, text, ...place);
  };
"""
FORMATTED = "async ([name, value]) => (await import('/static/app/text/format.js'))[name](value)"


def test_a_time_of_another_day_has_its_date(page: Page, site: Site) -> None:
    page.goto(site.url)
    now = page.evaluate("() => new Date().toISOString()")
    assert len(page.evaluate(FORMATTED, ["time", now])) <= len("12:00:00 PM")
    assert "2026" in page.evaluate(FORMATTED, ["time", "2026-01-05T12:00:00Z"])
    assert page.evaluate(FORMATTED, ["tokens", 999_700]) == "1.0M"


def test_joiners_are_shown_only_where_they_join_nothing(page: Page, site: Site) -> None:
    """Emoji of people, and scripts such as Persian and Hindi, need joiners."""
    page.goto(site.url)
    for text in ("\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"):
        assert page.evaluate(FORMATTED, ["plain", text]) == text
    for text in ("a\u200db", "\u200d\U0001f4bb", "\u0645\u200c", "\u0645\u202e\u0645"):
        assert "\\u20" in page.evaluate(FORMATTED, ["plain", text])


def test_the_axis_of_the_timeline_begins_at_zero(page: Page, site: Site) -> None:
    job = site.job([shell("sleep 0.4"), shell("true")], wait=False, approve=True)
    page.add_init_script(DRAWN)
    page.goto(f"{site.url}/jobs/{job}/timeline")
    expect(page.locator(".pill")).to_have_text("waits for approval")
    with site.client() as client:
        client.approve(job)
        client.wait(job, timeout=60)
    page.reload()
    page.wait_for_function("() => window.drawn.includes('worker_2 · success')")
    ticks = page.evaluate("() => window.drawn.filter((text) => text.endsWith(' s'))")
    assert ticks[:2] in (["0 s", "0.05 s"], ["0 s", "0.10 s"], ["0 s", "0.20 s"])


@pytest.mark.parametrize("length", [3, 130, 160, 400, 1_000, 5_000, 100_000])
def test_the_labels_of_the_timelines_axis_differ(page: Page, site: Site, length: int) -> None:
    page.goto(site.url)
    labels = page.evaluate(
        """async (length) => {
          const { tick, ticks } = await import('/static/app/job/timeline.js');
          return ticks(0, length, 10).map(tick);
        }""",
        length,
    )
    assert len(labels) > 3 and len(set(labels)) == len(labels), labels


def test_small_costs_differ_on_the_axis(page: Page, site: Site) -> None:
    def answer(route: Route) -> None:
        at = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        row = {"at": at, "key": "claude", "jobs": 1, "workers": 1, "succeeded": 1, "tokens_in": 9}
        route.fulfill(json={"rows": [{**row, "tokens_out": 9, "cost_usd": 0.0138}]})

    page.route("**/api/v1/usage?*", answer)
    page.add_init_script(DRAWN)
    page.goto(f"{site.url}/costs")
    expect(page.get_by_role("heading", name="By agent", exact=True)).to_be_visible()
    page.wait_for_function("() => window.drawn.some((text) => text.startsWith('$'))")
    labels = page.evaluate("() => window.drawn.filter((text) => text.startsWith('$'))")
    first = labels[: len(labels) // labels.count(labels[0])]
    assert len(first) > 2 and len(set(first)) == len(first)
    steps = [round(float(up[1:]) - float(low[1:]), 6) for low, up in itertools.pairwise(first)]
    assert len(set(steps)) == 1, labels


def test_an_edge_does_not_pass_behind_a_box(page: Page, site: Site) -> None:
    chain = [shell("true", id="a"), shell("true", id="b", depends_on=["a"])]
    job = site.job([*chain, shell("true", id="c", depends_on=["a", "b"])], git="off")
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag .edge")).to_have_count(3)
    behind = page.evaluate(
        """() => [...document.querySelectorAll(".dag .edge")].filter((edge) =>
          [...document.querySelectorAll(".dag .node > rect")].some((box) => {
            const { x, y, width, height } = box.getBBox();
            for (let at = 0; at <= edge.getTotalLength(); at += 2) {
              const point = edge.getPointAtLength(at);
              const inside = point.x > x + 1 && point.x < x + width - 1;
              if (inside && point.y > y && point.y < y + height) return true;
            }
            return false;
          })).length"""
    )
    assert behind == 0


@pytest.mark.nightly
def test_the_graph_names_the_chosen_candidate(page: Page, site: Site) -> None:
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) seq 9 > n.txt;; *) seq 2 > n.txt;; esac"
    task = {"id": "c", "command": script, "agent": ["shell", "shell"], "git": "on"}
    job = site.job([task], gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator(".dag")).to_contain_text("2 candidates, worker_2 is chosen")


def test_the_head_of_a_failed_job_gives_the_reason(page: Page, site: Site) -> None:
    """The page does not name a worker that failed because of its child job."""
    child = '[{"title": "Compile", "agent": "shell", "command": "echo no compiler; exit 4"}]'
    spawn = f"echo '{child}' > t.json; orchestrator spawn c --tasks t.json --wait"
    job = site.job([shell(spawn, title="Build")], git="off", gates=[], max_retries=0)
    page.goto(f"{site.url}/jobs/{job}")
    cause = page.locator(".jobhead .cause")
    expect(cause).to_contain_text("Compile: exit code 4: no compiler")
    cause.get_by_role("link", name="1 more failed").click()
    expect(page.locator("tbody")).to_contain_text("Compile")
    expect(page.locator("tbody")).to_contain_text("Build")


def test_a_waiting_plan_shows_the_planners_cost_and_why_rules_made_the_plan(
    page: Page, site: Site
) -> None:
    job = site.job([shell("true")], wait=False, approve=True)

    def planned(route: Route) -> None:
        answer = route.fetch()
        given = answer.json()
        row = given["jobs"][0] if "jobs" in given else given
        row["usage"] = {"cost_usd": 1.25, "tokens": 9000, "cost_partial": True}
        row["remarks"] = ["waiting for approval", "planned by rules: claude created no plan"]
        route.fulfill(response=answer, json=given)

    page.route(re.compile(rf"/api/v1/jobs(\?q=|/){job}(\?page_size=1)?$"), planned)
    page.goto(f"{site.url}/jobs/{job}/plan")
    head = page.locator(".jobhead")
    expect(head).to_contain_text("planned by rules: claude created no plan")
    expect(head.locator(".pill")).to_have_text("waits for approval")
    expect(head.locator(".stat", has_text="Cost")).to_contain_text("$1.25 partly unknown")
    page.goto(site.url)
    row = page.locator(".jobs li", has_text=job)
    expect(row).to_contain_text("waits for you")
    expect(row.locator(".time")).to_have_text("–")
    with site.client() as client:
        client.cancel(job)


def test_the_time_of_a_job_counts_from_the_start_of_its_present_run(page: Page, site: Site) -> None:
    job = site.job([shell("sleep 300")], wait=False)

    def restarted(route: Route) -> None:
        answer = route.fetch()
        given = answer.json()
        (given["jobs"][0] if "jobs" in given else given)["started_at"] = began
        route.fulfill(response=answer, json=given)

    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600))
    page.route(re.compile(rf"/api/v1/jobs(\?q=|/){job}(\?page_size=1)?$"), restarted)
    page.goto(f"{site.url}/jobs/{job}")
    shown = page.locator(".jobhead .stat", has_text="Time")
    expect(shown).to_contain_text(re.compile("1[01] min"))
    with site.client() as client:
        client.cancel(job)


def test_the_whole_request_is_shown_on_request(page: Page, site: Site) -> None:
    job = site.job([shell("true")], request="A title\n\n1. the first detail", gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.get_by_role("heading", name="A title", exact=True)).to_be_visible()
    detail = page.get_by_text("1. the first detail")
    expect(detail).to_be_hidden()
    page.get_by_text("Whole request").click()
    expect(detail).to_be_visible()


def test_a_report_shows_lists_tables_and_code_of_an_answer(page: Page, site: Site) -> None:
    job = site.job([shell("true")], gates=[])
    answer = """#### Done

*2 more*, 2 * 3 * 4, *.py and *.js, **/*.py and `glob(*)`

***both***

two
lines

* one
 more
 * space
	- tab

3. first
   - below
4. second

| a | b |
| - | - |
| 1 | 2 |

```py
x = 1
```"""
    text = "\n".join(f"> {line}".rstrip() for line in answer.splitlines())
    # Rows without cells and deep nesting must not end the page.
    text += f"\n\n|---|\n\n{'> ' * 6000}deep\n\n{'- ' * 3000}deep\n\nthe end"
    page.route("**/reports/FINAL_RESULT.md", lambda route: route.fulfill(body=text))
    page.goto(f"{site.url}/jobs/{job}/report")
    expect(page.get_by_text("the end")).to_be_visible()
    quote = page.locator("article blockquote").first
    expect(quote.get_by_role("heading", name="Done")).to_be_visible()
    expect(quote.locator("em")).to_have_text(["2 more", "both"])
    expect(quote.locator("b em")).to_have_text("both")
    assert "*both" not in quote.inner_text()
    items = quote.locator(":scope > ul > li")
    expect(items).to_have_count(2)
    expect(items.first).to_have_text("one more")
    expect(items.last.locator("ul > li")).to_have_text("tab")
    expect(quote.locator("p code")).to_have_text("glob(*)")
    expect(quote.locator("ol[start='3'] > li")).to_have_count(2)
    expect(quote.locator("ol ul li")).to_have_text("below")
    expect(quote.get_by_role("cell", name="2")).to_be_visible()
    expect(quote.locator("pre")).to_have_text("x = 1")
    lines = quote.get_by_text("two").evaluate("shown => shown.innerText")
    assert lines == "two\nlines"


@pytest.mark.nightly
def test_the_head_of_a_failed_job_names_a_worker_once(page: Page, site: Site) -> None:
    both = [shell(f"echo {w} > README.md", id=w, git="on") for w in ("red", "blue")]
    job = site.job([shell("exit 3", title="Check", retries=0), *both], resolve="off", gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    head = page.locator(".jobhead")
    expect(head.locator(".cause")).to_contain_text("Check: exit code 3")
    expect(head).to_contain_text("not in the result: worker_3")
    expect(head).not_to_contain_text("worker_1")


def test_the_tab_changes_has_the_number_of_files(page: Page, site: Site) -> None:
    job = site.job([shell("echo 1 > a.txt; echo 2 > b.txt", git="on")], gates=[])
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.get_by_role("link", name="Changes")).to_have_text("Changes2")


def test_the_list_of_jobs_shows_why_a_job_failed(page: Page, site: Site) -> None:
    tasks = [shell("true"), shell("exit 3", retries=0), shell("exit 4", retries=0)]
    job = site.job(tasks, request="A job that fails", gates=[])
    page.goto(site.url)
    row = page.locator(".jobs li", has_text=job)
    expect(row).to_contain_text(re.compile(r"worker_2: .*exit code 3"))


@pytest.mark.nightly
def test_a_closed_group_shows_the_worker_with_a_child_job(page: Page, site: Site) -> None:
    child = '[{"title": "Below", "agent": "shell", "command": "true"}]'
    spawn = f"echo '{child}' > t.json; orchestrator spawn c --tasks t.json --wait"
    tasks = [shell(spawn if k == 20 else "true", title=f"Part {k}") for k in range(40)]
    job = site.job(tasks, git="off", gates=[], max_retries=0)
    page.goto(f"{site.url}/jobs/{job}")
    box = page.locator(".dag .node")
    expect(box).to_have_count(1)
    expect(box).to_contain_text("Part 20")
    expect(box).to_contain_text("1 child job")


def test_needs_state_that_other_work_continues_only_while_a_worker_runs(
    page: Page, site: Site
) -> None:
    both = [shell(f"echo {w} > README.md", id=w, git="on") for w in ("red", "blue")]
    question = {"id": "ok", "approve": "Go on?"}
    ended = site.job(both, resolve="off")
    waits = site.job([question], wait=False)
    works = site.job([question, shell("sleep 300")], wait=False)
    for job, continues in ((ended, False), (waits, False), (works, True)):
        page.goto(f"{site.url}/jobs/{job}")
        expect(page.locator("#needs")).to_contain_text("1 thing needs you")
        expect(page.get_by_text("Everything else continues")).to_have_count(int(continues))
    with site.client() as client:
        client.cancel(waits)
        client.cancel(works)
