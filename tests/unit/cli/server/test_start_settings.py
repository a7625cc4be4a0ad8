"""Settings at the start of a server: read without pydantic, and equal to the loaded settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.cli.server import start_settings
from orchestrator.cli.server.start_settings import StartSettings, project_at_start
from orchestrator.config import load, project_root

KEY = "0a1b2c3d4e5f60718293"
TEMPLATE = Path(__file__).parents[4] / "config.template.yaml"
USUAL = [
    "",
    "api: {port: 9000, host: 127.0.0.1}\nlogging: {log_dir: /var/log/x}",
    "api:\n  port: 9000  # ours\n  host: 'localhost'\nlogging:\n  log_dir: ./l\n",
    "# api: {port: 9}\nlogging:\n  level: INFO\nreports: {}\n",
    "api:\n  tls: null\n  trusted_proxies: []\n  port: 0\n",
    '{"api": {"port": 9001}, "logging": {"log_dir": "~/logs"}}',
    "orchestrator:\n  project_root: {project}\n",
    "orchestrator:\n  project_root: null\n",
    TEMPLATE.read_text("utf-8"),
]
UNUSUAL = [
    "api:\n  port: 8_000\n",
    "api:\n  port: 0x1F90\n",
    'api:\n  "port": 9000\n',
    '"api":\n  port: 9000\n',
    "x: &base {port: 9000}\napi:\n  <<: *base\n",
    "api: {tls: {certificate: a.pem, key: b.pem}}\n",
    "api:\n  trusted_proxies: [10.0.0.5]\n",
    "api:\n  port:\n    9000\n",
    "logging:\n  log_dir: !!str logs\n",
    "logging:\n  log_dir: |\n    logs\n",
    "logging:\n  log_dir: &l logs\n",
]
VARIABLES: list[Mapping[str, str]] = [
    {"ORCHESTRATOR_API__PORT": "9002", "ORCHESTRATOR_API__HOST": "127.0.0.1"},
    {"ORCHESTRATOR_LOGGING__LOG_DIR": "/l"},
]


def read(folder: Path, environ: Mapping[str, str]) -> StartSettings | None:
    """Read the settings without pydantic. Return None if all settings must be loaded."""
    try:
        return start_settings._plain_start_settings(folder, environ)
    except start_settings._NotPlain:
        return None


def loaded(folder: Path, environ: Mapping[str, str]) -> StartSettings:
    settings = load(folder, environ=environ).settings
    return StartSettings(
        host=settings.api.host,
        port=settings.api.port,
        has_local_address=settings.api.has_local_address,
        log_dir=settings.logging.log_dir,
    )


def folder_with(directory: Path, text: str) -> Path:
    (directory / "main.py").touch()
    folder = directory / "product"
    folder.mkdir()
    (folder / "config.yaml").write_text(text.replace("{project}", str(directory)))
    return folder


@pytest.mark.parametrize("text", USUAL)
def test_usual_settings_are_those_that_the_server_loads(tmp_path: Path, text: str) -> None:
    folder = folder_with(tmp_path, text)
    environ = {"ORCHESTRATOR_API__API_KEY": KEY}

    assert read(folder, environ) == loaded(folder, environ)
    settings = load(folder, environ=environ).settings
    assert project_at_start(folder, environ) == project_root(settings, folder)


@pytest.mark.parametrize("variables", VARIABLES)
def test_variables_have_priority_over_the_file(
    tmp_path: Path, variables: Mapping[str, str]
) -> None:
    folder = folder_with(tmp_path, "api: {port: 9000}\n")
    environ = {"ORCHESTRATOR_API__API_KEY": KEY, **variables}

    assert read(folder, environ) == loaded(folder, environ)


@pytest.mark.parametrize("text", UNUSUAL)
def test_unusual_settings_are_loaded(tmp_path: Path, text: str) -> None:
    folder = folder_with(tmp_path, text)
    environ = {"ORCHESTRATOR_API__API_KEY": KEY}

    assert read(folder, environ) is None


@pytest.mark.parametrize("key", ["", '""', "...", "null", "change-me-please-now"])
def test_a_missing_key_and_an_example_are_loaded(tmp_path: Path, key: str) -> None:
    folder = folder_with(tmp_path, f"api:\n  api_key: {key}\n")

    assert read(folder, {}) is None


@pytest.mark.parametrize("name", ["ORCHESTRATOR_api__port", "ORCHESTRATOR_API__tls"])
def test_a_variable_in_lower_case_is_loaded(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, "")

    assert read(folder, {"ORCHESTRATOR_API__API_KEY": KEY, name: "1"}) is None
