"""Questions to git about commits."""

from orchestrator.git.command.runner import Git
from tests.support.project import Project


def test_an_ancestor_is_in_the_history_of_a_commit(project: Project) -> None:
    git = Git(str(project.path), {})
    first = git.resolve("HEAD")
    project.commit({"new.txt": "x"}, "second")
    second = git.resolve("HEAD")

    assert git.is_ancestor(first, second) and git.is_ancestor(second, second)
    assert not git.is_ancestor(second, first)
    missing = "0123456789" * 4
    assert not git.is_ancestor(missing, second) and not git.is_ancestor(second, missing)
