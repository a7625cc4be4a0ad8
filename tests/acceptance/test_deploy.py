"""The container file and the compose file are valid, and every name in them exists."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli.setup.portable_folder import names
from orchestrator.config import load
from tests.acceptance.conftest import PRODUCT

DEPLOY = PRODUCT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVER: dict[str, Any] = COMPOSE["services"]["server"]


def check(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("check-jsonschema")
def test_the_compose_file_fits_the_compose_specification() -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.needs("hadolint")
def test_the_containerfile_is_clean() -> None:
    check("hadolint", DEPLOY / "Containerfile")


def test_each_setting_of_the_container_and_the_compose_file_exists(tmp_path: Path) -> None:
    secrets = {
        "api_key": "key-of-the-container-tests",
        "store_url": "postgresql+psycopg://orchestrator:pass@postgres/orchestrator",
    }
    for name, text in secrets.items():
        (tmp_path / name).write_text(text)
    environ = dict(re.findall(r"(ORCHESTRATOR_\w+)=(\S+)", CONTAINERFILE))
    project = environ["ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT"]
    environ["ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT"] = str(tmp_path)  # this path must exist
    for name, text in SERVER["environment"].items():
        environ[name] = text.replace("/run/secrets", str(tmp_path))

    settings = load(tmp_path, environ=environ).settings  # an unknown name would be rejected

    assert set(SERVER["secrets"]) == set(secrets) <= set(COMPOSE["secrets"])
    assert settings.api.api_key.get_secret_value() == secrets["api_key"]
    assert settings.store.url and settings.store.url.get_secret_value() == secrets["store_url"]
    assert str(settings.orchestrator.workspace_root).startswith("/data/")
    assert str(settings.logging.log_dir).startswith("/data/")
    assert [each.split(":")[-1] for each in SERVER["volumes"]] == ["/data", project]


def test_plain_http_stays_on_this_machine() -> None:
    assert SERVER["environment"]["ORCHESTRATOR_API__INSECURE"] == "true"
    assert all(each.startswith("127.0.0.1:") for each in SERVER["ports"])
    assert "ports" not in COMPOSE["services"]["postgres"]
    assert "INSECURE" not in CONTAINERFILE and "API_KEY" not in CONTAINERFILE


def test_files_that_the_image_copies_exist_and_reach_the_builder() -> None:
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert "*" in ignored and sorted(copied) == sorted(sent)
    assert all((PRODUCT / each).exists() for each in copied)


def test_the_image_has_the_tools_that_the_tests_use() -> None:
    tested = PRODUCT / "tests" / "agents" / "real" / "package.json"
    shipped = json.loads((DEPLOY / "agents.json").read_text("utf-8"))

    assert shipped["dependencies"] == json.loads(tested.read_text("utf-8"))["dependencies"]


def test_files_that_the_user_creates_are_ignored_and_in_no_copy() -> None:
    for name in (".env", "agents.env", "secrets/api_key"):
        check("git", "-C", PRODUCT, "check-ignore", "--quiet", f"deploy/{name}")
    tracked = {each.name for each in DEPLOY.iterdir()} - {".env", "agents.env", "secrets"}
    assert {each for each in names() if each.startswith("deploy")} == {
        f"deploy/{name}" for name in tracked
    }
