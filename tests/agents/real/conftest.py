"""A server whose agents are the real tools, and a stub model API for their providers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.acceptance.conftest import KEY, PRODUCT, Server
from tests.agents.model_api import ModelApi
from tests.agents.real.site import Site
from tests.agents.real.tools import MODELS, TOOLS, installed

#: Changed settings by section.
Changes = Mapping[str, Mapping[str, object]]
#: Models of opencode. It also needs a provider's settings; other tools need an address and a key.
OPENCODE = {
    "model": "stub/stub-model",
    "small_model": "stub/stub-model",
}


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("real_tools"):
            item.add_marker(pytest.mark.timeout(300))


def pytest_runtest_setup(item: pytest.Item) -> None:
    agent = item.get_closest_marker("real_tools") and agent_of(item)
    if agent and not installed(agent_of(item)):
        reason = f"{agent_of(item)} is not installed; ./run-tests.sh --agents installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def agent_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("agent", "")) if callspec else ""


@pytest.fixture(scope="session")
def api() -> Iterator[ModelApi]:
    with ModelApi() as api:
        yield api


@pytest.fixture(scope="session")
def site(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(api, tmp_path_factory.mktemp("host project")) as site:
        yield site


@pytest.fixture(scope="session")
def read_only_site(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the policy ``read-only``."""
    with a_site(api, tmp_path_factory.mktemp("host project"), policy="read-only") as site:
        yield site


@pytest.fixture(scope="session")
def editing_site(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with the policy ``edit``: agents edit files, and run commands that their sandbox
    allows.
    """
    with a_site(api, tmp_path_factory.mktemp("host project"), policy="edit") as site:
        yield site


@contextmanager
def a_site(
    api: ModelApi, project: Path, changes: Changes | None = None, **workers: object
) -> Iterator[Site]:
    folder = project / "the product"
    make_project(project)
    make_product(folder, {**(changes or {}), "workers": workers})
    server = Server(folder=folder, project=project, variables=variables(api, project))
    try:
        server.start()
        with server.client() as client:
            yield Site(server, client, api)
    finally:
        server.stop()


def make_project(project: Path) -> None:
    """Create a repository, so that workers get worktrees."""
    (project / "hello.py").write_text('"""A host project."""\n')
    (project / ".gitignore").write_text("/the product/\n/home/\n")
    (project / "home").mkdir()
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)


def make_product(folder: Path, changes: Changes) -> None:
    folder.mkdir()
    lists = ("requirements.txt", "requirements-survey.txt")
    for name in ("orchestrator", "bin", ".venv", "api_server.py", *lists):
        if (PRODUCT / name).exists():
            (folder / name).symlink_to(PRODUCT / name)
    (folder / "workspace").mkdir()
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings(changes)))
    config.chmod(0o600)


def settings(changes: Changes) -> dict[str, dict[str, object]]:
    commands = {f"{name}_command": str(path) for name in TOOLS if (path := installed(name))}
    sections: dict[str, dict[str, object]] = {
        "api": {"port": 0, "api_key": KEY},
        "orchestrator": {**commands},
        "agents": {name: {"model": model} for name, model in MODELS.items()},
        "workers": {"max_workers": 4, "max_retries": 0, "retry_backoff_seconds": 0.1},
    }
    return {name: {**section, **changes.get(name, {})} for name, section in sections.items()}


def variables(api: ModelApi, project: Path) -> dict[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{api.url}/v1", "apiKey": "a key"},
        "models": {
            "stub-model": {
                "limit": {"context": 100000, "output": 8000},
                "cost": {"input": 1, "output": 2},
            }
        },
    }
    return {
        "HOME": str(project / "home"),
        # Empty: otherwise the tools would read the configuration of the user who runs the tests.
        **dict.fromkeys(("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"), ""),
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "sk-of-the-tests",
        "OPENAI_BASE_URL": f"{api.url}/v1",
        "OPENAI_API_KEY": "sk-of-the-tests",
        "GOOGLE_GEMINI_BASE_URL": api.url,
        "GEMINI_API_KEY": "key-of-the-tests",
        "OLLAMA_HOST": api.url,
        "OPENCODE_CONFIG_CONTENT": json.dumps({"provider": {"stub": provider}, **OPENCODE}),
        "PATH": f"{Path(shutil.which('node') or '/nowhere/node').parent}:{os.environ['PATH']}",
    }
