"""A waiting plan is edited in place, approved, and run in its edited form."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Site, shell, tab_to

PLAN = """request: A plan to approve
workdir: own
tasks:
  - {id: one, title: First, comand: echo one}
  - {id: two, title: Second, command: echo two, depends_on: [one]}
"""


def test_a_plan_in_yaml_is_repaired_edited_approved_and_runs(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/new")
    page.get_by_role("button", name="Plan", exact=True).click()
    page.get_by_label("Show me the plan first").check()
    field = page.get_by_label("A plan, as YAML or JSON")
    field.fill("tasks: [")
    page.get_by_role("button", name="Make the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("line 1")
    field.fill(PLAN)
    page.get_by_role("button", name="Make the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("task 1 comand unknown field")
    expect(field).to_be_focused()
    field.fill(PLAN.replace("comand", "command"))
    page.get_by_role("button", name="Make the plan").click()
    page.get_by_role("link", name="Review plan").first.click()
    expect(page.get_by_text("This plan waits for you.")).to_be_visible()
    job = page.url.split("/")[-2]
    page.get_by_label("Command of task 1").fill("echo edited")
    page.get_by_label("Task 1 starts after").fill("7")
    page.get_by_label("Task 1 starts after").press("Tab")
    assert "from 1 to 2" in page.get_by_label("Task 1 starts after").evaluate(
        "field => field.validationMessage"
    )
    expect(page.get_by_label("Task 2 starts after")).to_have_value("1")
    page.get_by_role("button", name="Approve and start").click()
    expect(page.get_by_label("Task 1 starts after")).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Task 1 starts after").fill("")
    tab_to(page, "Remove task 2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("your changes are not saved")).to_be_visible()

    page.keyboard.press("a")
    page.get_by_role("dialog").wait_for()
    tab_to(page, "Approve and start")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Approved")).to_be_visible()
    expect(page.get_by_text("This plan no longer waits.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve and start")).to_have_count(0)
    expect(page.locator("main").get_by_role("textbox")).to_have_count(0)
    with site.client() as client:
        ended = client.wait(job, timeout=60)
    assert ended["status"] == "completed"
    rows = ended["results"]["tasks"]
    assert [(row["task_id"], row["output"].strip()) for row in rows] == [("one", "edited")]


def test_an_added_task_has_the_focus_and_an_error_names_its_number(page: Page, site: Site) -> None:
    job = site.job([shell("echo one", id="one")], wait=False, approve=True)
    page.goto(f"{site.url}/jobs/{job}/plan")
    page.get_by_role("button", name="Add a task").click()
    expect(page.get_by_label("Title of task 2")).to_be_focused()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").get_by_text("task 2: the task needs")).to_be_visible()
    with site.client() as client:
        client.cancel(job)


def test_a_prompt_without_a_title_is_edited_with_its_lines(page: Page, site: Site) -> None:
    prompt = "Write the answer in the file a.txt\nuse 7"
    tasks = [{"id": "one", "agent": "writer", "prompt": prompt}, shell("echo two", id="two")]
    job = site.job(tasks, wait=False, approve=True)
    page.goto(f"{site.url}/jobs/{job}/plan")
    field = page.get_by_label("Prompt of task 1")
    expect(field).to_have_value(prompt)
    expect(page.get_by_label("Title of task 1")).to_have_count(0)
    field.fill("")
    field.press_sequentially("Write the answer")
    field.press("Enter")
    field.press_sequentially("in the file b.txt")
    page.get_by_label("Command of task 2").fill("echo edited")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    with site.client() as client:
        saved = client.plan(job)["tasks"]
        assert saved[0]["prompt"] == "Write the answer\nin the file b.txt"
        assert "title" not in saved[0]
        assert saved[1]["command"] == "echo edited"
        client.cancel(job)


def test_a_plan_that_was_saved_elsewhere_is_shown_before_it_is_approved(
    page: Page, site: Site
) -> None:
    job = site.job([shell("echo one", id="one")], wait=False, approve=True)
    page.goto(f"{site.url}/jobs/{job}/plan")
    expect(page.get_by_label("Command of task 1")).to_have_value("echo one")
    with site.client() as client:
        client.edit_plan(job, [shell("echo two", id="one")], version=1)
        expect(page.get_by_label("Command of task 1")).to_have_value("echo two")
        page.get_by_label("Command of task 1").fill("echo mine")
        client.edit_plan(job, [shell("echo three", id="one")], version=2)
    expect(page.get_by_role("alert")).to_contain_text("another version of this plan")
    expect(page.get_by_role("button", name="Approve and start")).to_be_disabled()
    expect(page.get_by_label("Command of task 1")).to_have_value("echo mine")
    page.get_by_role("button", name="Discard my changes").click()
    expect(page.get_by_label("Command of task 1")).to_have_value("echo three")
    page.get_by_role("button", name="Approve and start").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve and start").click()
    expect(page.locator(".pill")).to_have_text("completed")


@pytest.mark.nightly
def test_a_plan_can_be_rejected(page: Page, site: Site) -> None:
    job = site.job([shell("echo one", id="one")], wait=False, approve=True, request="Not this")
    page.goto(f"{site.url}/jobs/{job}/plan")

    page.get_by_label("Your decision").get_by_role("button", name="Reject").click()
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()

    with site.client() as client:
        ended = client.wait(job, timeout=60)
    assert ended["status"] == "cancelled"
    assert all(row["status"] != "success" for row in ended["results"]["tasks"])


def test_a_form_that_was_left_is_kept_until_its_job_starts(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/new")
    expect(page.get_by_role("radio", name="survey")).to_be_visible()
    expect(page.get_by_role("radio", name="shell")).to_have_count(0)
    page.get_by_label("What should be done?").fill("A long request")
    page.get_by_role("button", name="Commands").click()
    page.get_by_label("Commands, one a line").fill("true")
    page.locator(".nav").get_by_role("link", name="Jobs").click()
    expect(page.locator("h1")).to_have_text("Jobs")
    page.go_back()
    expect(page.get_by_label("What should be done?")).to_have_value("A long request")
    page.get_by_role("textbox", name="Time", exact=True).fill("1..5 h")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Time: write 90 s")
    expect(page.get_by_role("textbox", name="Time", exact=True)).to_be_focused()
    page.get_by_role("textbox", name="Time", exact=True).fill("1.5 h")
    workers = page.get_by_role("textbox", name="Workers at a time")
    for wrong, why in (("0", "must be at least 1"), ("999999", "above the server limit")):
        workers.fill(wrong)
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#workers-faults")).to_contain_text(why)
        expect(workers).to_be_focused()
    workers.fill("2")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".pill")).to_have_text("completed")
    page.keyboard.press("n")
    expect(page.get_by_label("What should be done?")).to_have_value("")


def test_a_plan_shows_on_a_phone_after_which_tasks_a_task_starts(page: Page, site: Site) -> None:
    tasks = [shell("true", id="first"), {"command": "echo x", "depends_on": ["first"]}]
    job = site.job(tasks, wait=False, approve=True, gates=[])
    page.set_viewport_size({"width": 390, "height": 844})

    page.goto(f"{site.url}/jobs/{job}/plan")

    row = page.get_by_role("row").filter(has=page.get_by_label("Task 2 starts after"))
    expect(row.get_by_label("Task 2 starts after")).to_be_visible()
    expect(row.get_by_label("Task 2 starts after")).to_have_value("1")
    expect(row.get_by_text("2", exact=True)).to_be_visible()
    expect(row.get_by_text("shell", exact=True)).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
