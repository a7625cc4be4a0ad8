"""``orchestrator nodes``: how to make agents usable on nodes."""

from orchestrator.cli.setup.cluster.nodes import fixes


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
