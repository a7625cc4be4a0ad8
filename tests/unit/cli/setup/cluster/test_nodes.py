"""``orchestrator nodes``: adding the first node, and making agents usable on nodes."""

import shlex
from pathlib import Path
from shlex import quote

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.setup.cluster.nodes import fixes
from tests.unit.cli.conftest import Orchestrator


def test_a_list_without_nodes_names_the_next_step_to_the_first(
    orchestrator: Orchestrator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def next_step() -> str:
        assert orchestrator("nodes", "list") == 0
        return capsys.readouterr().err.strip().partition("no nodes; ")[2].partition(":")[0]

    assert next_step() == "before you add a node, create certificates"

    assert orchestrator("nodes", "init", "--address", "127.0.0.1:8786") == 0
    capsys.readouterr()
    listen = "before you add a node, set cluster.listen in config.yaml, and restart the server"
    assert next_step() == listen

    with (folder / "config.yaml").open("a") as config:
        config.write('cluster: {listen: "127.0.0.1:8786"}\n')
    assert next_step() == "add a node"


@pytest.mark.parametrize(
    "command", ["drain n9", "undrain n9", "label n9 a=b", "remove n9", "forget n9"]
)
def test_a_cluster_that_was_never_created_has_no_node(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert orchestrator("nodes", *command.split()) == ExitCode.NOT_FOUND
    assert "Error: unknown node 'n9'; known: none" in capsys.readouterr().err


def test_the_commands_for_a_new_machine_fit_together(
    orchestrator: Orchestrator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("nodes", "init", "--address", "127.0.0.1:8786") == 0
    capsys.readouterr()

    assert orchestrator("nodes", "add", "gpu1") == 0

    shared, copy, own = capsys.readouterr().out.splitlines()
    join_file = quote(str(folder / "cluster" / "gpu1.join"))
    assert shlex.split(shared)[-3:] == ["node", "join", *shlex.split(join_file)]
    # The copy is in the user's home directory on that machine.
    assert copy == f"scp -p {join_file} gpu1:"
    assert own == "bin/orchestrator node join ~/gpu1.join --own-files"


def test_nodes_that_lack_an_agent_for_the_same_reason_share_a_line() -> None:
    install = {"name": "codex", "reason": "not found", "fix": ["npm install x", "codex login"]}
    login = {"name": "codex", "reason": "no credentials found", "fix": []}
    nodes = [
        {"name": "n1", "unusable_agents": [install]},
        {"name": "n2", "unusable_agents": [login]},
        {"name": "n3", "unusable_agents": [install]},
        {"name": "n4", "unusable_agents": []},
    ]
    assert list(fixes(nodes)) == [
        "codex on n1, n3: not found; npm install x; then codex login",
        "codex on n2: no credentials found",
    ]
