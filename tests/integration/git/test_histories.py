"""Parallel work on real histories: the changes between two releases are divided among workers.

Run with ``ORCHESTRATOR_TEST_RELEASES=<folder>``; the folder has a directory for each project with
the source archives of its releases (``pip download --no-deps --no-binary :all: flask==3.0.0``).
"""

import base64
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.core.repository.repository import MergeRule
from orchestrator.git import GitRepository
from tests.integration.git import histories
from tests.integration.git.conftest import MakeHost
from tests.support.project import Project, edit
from tests.unit.git.conftest import WHO

pytestmark = [
    pytest.mark.skipif(not histories.FOLDER, reason="ORCHESTRATOR_TEST_RELEASES is unset"),
    pytest.mark.timeout(1800),
]
WORKERS = 4


@pytest.fixture(scope="module", params=histories.projects())
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, list[str]]:
    return histories.history(request.param, tmp_path_factory.mktemp("history") / request.param)


@pytest.fixture
def project(made: tuple[Project, list[str]]) -> Project:
    return made[0]


@pytest.fixture
def versions(made: tuple[Project, list[str]]) -> list[str]:
    return made[1]


@pytest.fixture
def repository(project: Project, tmp_path: Path) -> GitRepository:
    return GitRepository(project.path, tmp_path / "workspace", tmp_path)


def tree(project: Project, revision: str) -> str:
    return project.git("rev-parse", f"{revision}^{{tree}}")


def lines(content: bytes | None) -> set[bytes]:
    return {line.rstrip() for line in (content or b"").split(b"\n")}


def test_files_dealt_out_to_workers_come_together_as_the_release(
    project: Project, versions: list[str], repository: GitRepository
) -> None:
    for before, after in pairwise(versions):
        start = project.git("rev-parse", f"{before}^{{commit}}")
        parts = histories.shares(histories.changed(project, before, after), WORKERS)
        tip, seconds = start, []
        for number, part in enumerate(parts):
            commit = histories.branch(project, start, part, f"w{number}", after)
            began = time.perf_counter()
            merged = repository.merge(tip, commit, "merge", WHO, force=False)
            seconds.append(time.perf_counter() - began)
            assert merged.commit, (before, after, merged.conflicts)
            tip = merged.commit
        files = sum(map(len, parts))
        print(f"{before} -> {after}: {files} files, merges of {max(seconds) * 1000:.0f} ms at most")
        assert tree(project, tip) == tree(project, after)


def test_hunks_of_one_file_are_merged_or_reported_as_conflicts(
    project: Project, versions: list[str], repository: GitRepository
) -> None:
    conflicting = whole = 0
    for before, after in pairwise(versions):
        start = project.git("rev-parse", f"{before}^{{commit}}")
        parts: tuple[dict[str, bytes | None], ...] = ({}, {})
        news = histories.changed(project, before, after)
        olds = histories.contents(project, before, news)
        for path, new in news.items():
            old = olds[path]
            pair = histories.halves(old, new) if old and new and b"\0" not in old + new else None
            for part, each in zip(parts, pair or (), strict=False):
                part[path] = each
        first, second = (
            histories.branch(project, start, part, f"h{number}", after)
            for number, part in enumerate(parts)
        )
        merged = repository.merge(first, second, "merge", WHO, force=False)
        conflicts = {each.path for each in merged.conflicts}
        forced = repository.merge(first, second, "merge", WHO, force=True).commit
        conflicting += len(conflicts)
        found = histories.contents(project, forced, parts[0])
        for path, had in found.items():
            if path in conflicts:  # the result has the later worker's hunks, and no other changes
                added = lines(parts[1][path]) - lines(olds[path])
                assert added <= lines(had), (before, after, path)
            else:
                assert had == news[path], (before, after, path)
        whole += len(found) - len(conflicts)
        assert bool(merged.commit) is not bool(conflicts)
    print(f"{whole} files came together, {conflicting} were reported as conflicts")
    assert whole


def test_parallel_releases_conflict_as_in_git(
    project: Project, versions: list[str], repository: GitRepository, tmp_path: Path
) -> None:
    """Each of two workers makes the changes from a third release to another release."""
    scratch = Project(tmp_path / "scratch")
    project.git("clone", "-q", "--shared", str(project.path), str(scratch.path))
    count = 0
    for base, ours, theirs in zip(versions, versions[1:], versions[2:], strict=False):
        sides = []
        for version in (ours, theirs):
            made = project.git("commit-tree", "-p", base, "-m", version, tree(project, version))
            project.git("branch", "-f", f"side-{version}", made)
            sides.append(made)
        scratch.git("fetch", "-q", "origin")
        scratch.git("checkout", "-q", "--force", "--detach", sides[0])
        ran = scratch.git("merge", "--no-commit", sides[1], check=False)
        listed = scratch.git("diff", "--name-only", "--diff-filter=U", "-z").split("\0")[:-1]
        merged = repository.merge(sides[0], sides[1], "merge", WHO, force=False)
        conflicting = {each.path for each in merged.conflicts}
        by_ends = {each.path for each in merged.files if each.way is MergeRule.LINE_ENDS}
        assert conflicting | by_ends == set(listed), (base, ours, theirs, ran)
        assert bool(merged.commit) is not bool(conflicting)
        won = repository.merge(sides[0], sides[1], "merge", WHO, force=True)
        scratch.git("reset", "-q", "--hard")
        scratch.git("merge", "--no-commit", "-X", "theirs", sides[1], check=False)
        texts = {each.path for each in won.conflicts if all(lost.first for lost in each.lost)}
        for path in texts - by_ends:
            as_git = (scratch.path / path).read_bytes()
            [had] = histories.contents(project, won.commit, [path]).values()
            assert had == as_git, (base, ours, theirs, path)
        count += len(conflicting)
        scratch.git("reset", "-q", "--hard")
        print(f"{base} with {ours} and {theirs}: {len(conflicting)} conflicts")
    assert count


def test_a_job_of_parallel_workers_makes_the_next_release(
    project: Project, versions: list[str], make_host: MakeHost, tmp_path: Path
) -> None:
    before, after = versions[-2:]
    parts = histories.shares(histories.changed(project, before, after), WORKERS)
    tasks = []
    for number, part in enumerate(parts):
        path = tmp_path / f"part_{number}.json"
        encoded = {k: None if v is None else base64.b64encode(v).decode() for k, v in part.items()}
        path.write_text(json.dumps(encoded))
        tasks.append(edit(f"python3 '{tmp_path}/apply.py' '{path}'", timeout=300))
    (tmp_path / "apply.py").write_text(APPLY)
    host = make_host(project, workers={"max_workers": WORKERS})
    changes = host.watch_changes()

    job = host.site.submit("change things", tasks, base=before, gates=["secrets"])
    ended = host.site.wait(job, within=1200)

    assert ended["status"] == "completed", ended
    found = host.record(job)
    print(f"{before} -> {after}: merged in {found['seconds']:.1f} s")
    assert found["conflicts"] == []
    assert tree(project, f"orchestrator/{job}/result") == tree(project, after)
    assert changes() == []


APPLY = """
import base64, json, pathlib, sys
for name, data in json.loads(pathlib.Path(sys.argv[1]).read_text()).items():
    path = pathlib.Path(name)
    if data is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))
"""
