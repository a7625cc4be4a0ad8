"""The workflows for GitHub match their schema, have only read permissions, and have timeouts."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.acceptance.conftest import PRODUCT

WORKFLOWS = sorted((PRODUCT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.needs("check-jsonschema")
def test_the_workflows_fit_the_schema_of_github() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, *map(str, WORKFLOWS)], capture_output=True, text=True)
    assert WORKFLOWS and done.returncode == 0, done.stdout + done.stderr


def test_a_workflow_may_only_read_and_has_a_timeout() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path
        assert all("timeout-minutes" in job for job in workflow["jobs"].values()), path
        # Only the job that creates the draft of a release may write.
        writers = {name for name, job in workflow["jobs"].items() if "permissions" in job}
        assert writers == ({"draft"} if path.name == "release.yml" else set()), path


def steps(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of each job of a workflow."""
    path = PRODUCT / ".github" / "workflows" / name
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return {each: job["steps"] for each, job in jobs.items()}


def test_every_test_runs_at_night_and_upgrades_start_from_each_tag() -> None:
    at_night, of_changes = steps("nightly.yml")["all"], steps("tests.yml")["whole"]

    assert at_night[-1]["run"].endswith(" ./run-tests.sh --nightly")
    for job in (at_night, of_changes):
        # Without depth 0, a clone has no tags.
        assert job[0]["with"] == {"fetch-depth": 0}
        assert job[-1]["run"].startswith("sudo -E ")


def test_a_release_has_the_notes_and_the_wheel_of_its_tag() -> None:
    [draft] = steps("release.yml").values()
    commands = "\n".join(step.get("run", "") for step in draft)

    for part in (".ci/release-notes.sh", "pip wheel --no-deps", "gh release create", "--draft"):
        assert part in commands


def test_the_pythons_of_the_readme_are_tested() -> None:
    text = (PRODUCT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    tested = yaml.safe_load(text)["jobs"]["quick"]["strategy"]["matrix"]["python"]
    named = re.findall(r"\b3\.\d\d\b", (PRODUCT / "README.md").read_text("utf-8"))

    assert set(tested) >= set(named)
