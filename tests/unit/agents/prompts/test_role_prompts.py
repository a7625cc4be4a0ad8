"""Roles: Markdown texts that users may read, replace, and add."""

from pathlib import Path

import pytest

from orchestrator.agents.prompts.role_prompts import MOST_BYTES, RolePrompts
from orchestrator.core.errors import UnknownRole

BUILT_IN = [
    "backend",
    "documentation",
    "frontend",
    "infrastructure",
    "integration",
    "planner",
    "reviewer",
    "testing",
]


def test_each_built_in_role_has_a_description_and_a_text() -> None:
    roles = RolePrompts()
    assert list(roles.names()) == BUILT_IN
    for role in roles.roles():
        assert role.built_in
        assert 20 < len(role.description) < 120
        assert len(roles.text(role.name)) > 300


def test_a_users_role_replaces_and_adds(tmp_path: Path) -> None:
    (tmp_path / "backend.md").write_text("# Ours\n\nOur own backend.\n")
    (tmp_path / "artist.md").write_text("Draws.\n")
    (tmp_path / "README.txt").write_text("no role")
    roles = RolePrompts(tmp_path)

    assert list(roles.names()) == sorted([*BUILT_IN, "artist"])
    assert roles.text("backend") == "# Ours\n\nOur own backend."
    assert {role.name for role in roles.roles() if not role.built_in} == {"artist", "backend"}

    (tmp_path / "artist.md").write_text("Paints.\n")
    assert roles.text("artist") == "Paints."


@pytest.mark.parametrize("name", ["nobody", "../roles/backend", "backend.md", "", "a/b", "a\n"])
def test_an_unknown_role_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UnknownRole, match=r"known: backend, documentation, .*, testing"):
        RolePrompts().check(name)
    assert RolePrompts().text(name) == ""


def test_a_role_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_bytes(b"x" * 3 * MOST_BYTES)
    assert len(RolePrompts(tmp_path).text("long")) == MOST_BYTES
