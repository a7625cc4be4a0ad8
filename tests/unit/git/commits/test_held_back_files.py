"""Dependencies, caches, core dumps, and large files are not committed, but named and kept."""

import shutil
import struct
from pathlib import Path

import pytest

from orchestrator.config.sections.git import NEVER_COMMIT
from orchestrator.core.model.attempt.delivered_work import HeldBack, HeldBackRule
from orchestrator.git import CopyRules, GitRepository, NeverCommit
from tests.support.project import Project
from tests.unit.git.conftest import WHO

BRANCH = "refs/heads/orchestrator/1/worker_1"
NEVER = NeverCommit(patterns=NEVER_COMMIT, over=1000)


@pytest.fixture
def repository(project: Project) -> GitRepository:
    return of(project, NEVER)


def of(project: Project, never: NeverCommit) -> GitRepository:
    product = project.path / "product"
    (product / "workspace").mkdir(parents=True, exist_ok=True)
    return GitRepository(
        project.path, product / "workspace", product, CopyRules(never=never, derive=False)
    )


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    return new_worktree(repository, directory)


def new_worktree(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    return Path(directory)


def closed(
    repository: GitRepository, worktree: Path, *promised: str
) -> tuple[list[str], dict[str, HeldBack]]:
    """Return the committed files, and the withheld files."""
    tip = repository.commit(str(worktree), BRANCH, "work\n", WHO, promised)
    folded = repository.merge_side_work(str(worktree), BRANCH, tip, "work\n", WHO, promised)
    files = list(repository.changed_paths(repository.base().commit, folded.commit))
    return files, {each.path: each for each in folded.held_back}


def write(worktree: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (worktree / name).parent.mkdir(parents=True, exist_ok=True)
        (worktree / name).write_bytes(content)


CORE = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<H", 4) + bytes(5000)


def test_caches_and_dependencies_are_not_committed_and_stay_in_the_worktree(
    repository: GitRepository, worktree: Path
) -> None:
    write(worktree, "web/app.js", "web/node_modules/a/i.js", "web/node_modules/b/i.js")
    write(worktree, "src/__pycache__/m.cpython-311.pyc", "src/m.py", "old.pyc")
    write(worktree, "env/pyvenv.cfg", "env/bin/python")
    write(worktree, "out/CACHEDIR.TAG", content=b"Signature: 8a477f597d28d172789f06886806bc55\n")
    write(worktree, "out/debug/app.o", "tags/CACHEDIR.TAG")
    write(worktree, "core.4711", content=CORE)
    write(worktree, "data/big.bin", content=bytes(1001))

    files, held = closed(repository, worktree)

    assert files == ["src/m.py", "tags/CACHEDIR.TAG", "web/app.js"]
    assert {path: (each.rule, each.files) for path, each in held.items()} == {
        "web/node_modules": (HeldBackRule.NAME, 2),
        "src/__pycache__": (HeldBackRule.NAME, 1),
        "old.pyc": (HeldBackRule.NAME, 1),
        "env": (HeldBackRule.ENVIRONMENT, 2),
        "out": (HeldBackRule.CACHE, 2),
        "core.4711": (HeldBackRule.CORE, 1),
        "data/big.bin": (HeldBackRule.SIZE, 1),
    }
    assert held["data/big.bin"].size == 1001
    # Gates find the same files as the worker's own checks.
    repository.restore_files(str(worktree), repository.commit_of(BRANCH))
    assert (worktree / "web/node_modules/a/i.js").exists()
    assert (worktree / "env/bin/python").exists()
    assert closed(repository, worktree) == (files, held)


def test_held_back_files_that_the_agent_committed_are_removed_from_the_commit(
    repository: GitRepository, worktree: Path
) -> None:
    write(worktree, "app.js", "node_modules/a.js")
    Project(worktree).git("add", "--all")
    Project(worktree).git("commit", "-q", "-m", "all of it")

    files, held = closed(repository, worktree)

    assert (files, list(held)) == (["app.js"], ["node_modules"])


def test_files_that_the_start_tracks_are_committed(
    project: Project, repository: GitRepository, directory: str
) -> None:
    project.commit({"vendor/node_modules/a.js": "1\n", "old.pyc": "1\n"})
    worktree = new_worktree(repository, directory)
    write(worktree, "vendor/node_modules/b.js", "vendor/node_modules/a.js", "old.pyc")

    files, held = closed(repository, worktree)

    assert files == ["old.pyc", "vendor/node_modules/a.js", "vendor/node_modules/b.js"]
    assert held == {}


def test_files_of_gitignore_are_not_reported(repository: GitRepository, worktree: Path) -> None:
    write(worktree, ".gitignore", content=b"node_modules/\n")
    write(worktree, "node_modules/a.js")
    assert closed(repository, worktree) == ([".gitignore"], {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("promised", "files"),
    [
        ("web/node_modules/a.js", ["web/node_modules/a.js"]),
        ("web/", []),
        (".", []),
        ("big.bin", ["big.bin"]),
        ("*.bin", ["big.bin"]),
    ],
)
def test_promised_files_are_committed(
    repository: GitRepository, worktree: Path, promised: str, files: list[str]
) -> None:
    write(worktree, "web/node_modules/a.js")
    write(worktree, "big.bin", content=bytes(1001))
    assert closed(repository, worktree, promised)[0] == files


@pytest.mark.slow
def test_closing_a_worktree_keeps_promised_and_held_back_files_apart(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    write(worktree, "web/node_modules/a.js")
    write(worktree, "big.bin", content=bytes(1001))
    closed(repository, worktree, "big.bin")

    shot = repository.snapshot(str(worktree), "shot", WHO)
    repository.close_worktree(str(worktree), BRANCH, WHO)

    assert "big.bin" in project.files(shot) and "big.bin" in project.files(BRANCH)
    assert not any("node_modules" in each for each in project.files(BRANCH))


def test_a_list_of_the_user_replaces_the_built_in_rules(project: Project, directory: str) -> None:
    repository = of(project, NeverCommit(patterns=("*.log", "!keep.log")))
    worktree = new_worktree(repository, directory)
    write(worktree, "a.log", "keep.log", "node_modules/a.js")
    write(worktree, "big.bin", content=bytes(5000))

    files, held = closed(repository, worktree)

    assert files == ["big.bin", "keep.log", "node_modules/a.js"]
    assert list(held) == ["a.log"]


def test_an_empty_list_commits_everything(project: Project, directory: str) -> None:
    repository = of(project, NeverCommit())
    worktree = new_worktree(repository, directory)
    write(worktree, "core", content=CORE)
    write(worktree, "env/pyvenv.cfg", "node_modules/a.js")
    assert closed(repository, worktree) == (["core", "env/pyvenv.cfg", "node_modules/a.js"], {})


@pytest.mark.slow
def test_dependencies_of_a_nested_repository_are_held_back_too(
    repository: GitRepository, worktree: Path
) -> None:
    Project(worktree / "web").git("init", "-q")
    write(worktree, "web/app.js", "web/node_modules/a.js")

    files, held = closed(repository, worktree)

    assert (files, list(held)) == (["web/app.js"], ["web/node_modules"])
    shutil.rmtree(worktree / "web" / "node_modules")
    assert closed(repository, worktree) == (["web/app.js"], {})
