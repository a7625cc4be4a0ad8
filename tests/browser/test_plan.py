"""A plan that waits: edited in place, approved, and run as it was edited."""

from playwright.sync_api import Page, expect

from tests.browser.site import Site, shell

ENDED_MS = 30_000.0


def test_an_edited_plan_is_approved_and_runs(page: Page, site: Site) -> None:
    tasks = [
        shell("echo one", id="one", title="First"),
        shell("echo two", id="two", title="Second", depends_on=["one"]),
    ]
    job = site.job(tasks, wait=False, approve=True, request="A plan to approve")
    page.goto(f"{site.url}/jobs/{job}/plan")
    expect(page.get_by_text("This plan waits for you.")).to_be_visible()
    page.get_by_role("button", name="Remove task 2").click()
    expect(page.get_by_text("your changes are not saved")).to_be_visible()

    page.get_by_role("button", name="Approve and start").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve and start").click()

    expect(page.get_by_text("Approved")).to_be_visible()
    with site.client() as client:
        ended = client.wait(job, timeout=60)
    assert ended["status"] == "completed"
    assert [row["task_id"] for row in ended["results"]["tasks"]] == ["one"]


def test_a_plan_can_be_rejected(page: Page, site: Site) -> None:
    job = site.job([shell("echo one", id="one")], wait=False, approve=True, request="Not this")
    page.goto(f"{site.url}/jobs/{job}/plan")

    page.get_by_label("Your decision").get_by_role("button", name="Reject").click()
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()

    with site.client() as client:
        ended = client.wait(job, timeout=60)
    assert ended["status"] == "cancelled"
    assert all(row["status"] != "success" for row in ended["results"]["tasks"])
