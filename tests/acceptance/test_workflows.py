"""The workflows for GitHub: they fit their schema, may only read, and end."""

import re
import subprocess

import pytest
import yaml

from tests.acceptance.conftest import PRODUCT

WORKFLOWS = sorted((PRODUCT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.needs("check-jsonschema")
def test_the_workflows_fit_the_schema_of_github() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, *map(str, WORKFLOWS)], capture_output=True, text=True)
    assert WORKFLOWS and done.returncode == 0, done.stdout + done.stderr


def test_a_workflow_may_only_read_and_ends_by_itself() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path
        assert all("timeout-minutes" in job for job in workflow["jobs"].values()), path


def test_the_pythons_of_the_readme_are_tested() -> None:
    text = (PRODUCT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    tested = yaml.safe_load(text)["jobs"]["quick"]["strategy"]["matrix"]["python"]
    named = re.findall(r"\b3\.\d\d\b", (PRODUCT / "README.md").read_text("utf-8"))

    assert set(tested) >= set(named)
