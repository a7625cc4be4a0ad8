"""Files of attempts on a node with its own file system."""

from pathlib import Path

import pytest

from orchestrator.launchers.cluster.file_transfer.node_files import RECEIVED, NodeFiles, PathMap

PATHS = PathMap({"/srv/p": "/n/project", "/srv/p/o": "/n/home", "/srv/p/o/ws": "/n/w", "/é": "/n"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/srv/p/o/ws/job_1/a.txt", "/n/w/job_1/a.txt"),
        ("/srv/p/o/bin:/srv/p/.venv/bin:/usr/bin", "/n/home/bin:/n/project/.venv/bin:/usr/bin"),
        ("--dir=/srv/p/src.", "--dir=/n/project/src."),
        ("see /srv/p.", "see /n/project."),
        ("file:///srv/p/o/ws", "file:///n/w"),
        ("/srv/pages /mnt/srv/p /srv/p-old", "/srv/pages /mnt/srv/p /srv/p-old"),
        ("/srv/p.bak", "/srv/p.bak"),
        ('{"directory": "/\\u00e9/x"}', '{"directory": "/n/x"}'),
    ],
)  # fmt: skip
def test_whole_paths_are_replaced(before: str, after: str) -> None:
    assert PATHS.text(before) == after


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    return NodeFiles(tmp_path / "files", tmp_path, None)


def _received(tmp_path: Path) -> list[str]:
    """Return the archives that have arrived and are not deleted."""
    found = (tmp_path / "files").glob(f"*/{RECEIVED}")
    return [each.read_text() for each in found if not each.parent.name.startswith("trash")]


def test_files_of_the_next_attempt_arrive_before_earlier_files_are_removed(
    files: NodeFiles, tmp_path: Path
) -> None:
    files.receive("job/worker_1/1", 0, b"first")
    files.forget("job/worker_1/1")
    files.receive("job/worker_1/2", 0, b"second")
    files.sweep()
    files.receive("job/worker_1/2", 6, b", whole")
    assert _received(tmp_path) == ["second, whole"]


def test_an_end_that_is_late_leaves_the_files_of_the_next_attempt(
    files: NodeFiles, tmp_path: Path
) -> None:
    files.receive("job/worker_1/1", 0, b"first")
    files.receive("job/worker_1/2", 0, b"second")
    files.forget("job/worker_1/1")
    files.sweep()
    assert _received(tmp_path) == ["second"]


def test_files_of_attempts_that_the_node_does_not_have_are_removed(
    files: NodeFiles, tmp_path: Path
) -> None:
    for name in ("job/worker_1/1", "job/worker_2/1"):
        files.receive(name, 0, name.encode())
    files.forget_others({"job/worker_2/1"})
    files.sweep()
    assert _received(tmp_path) == ["job/worker_2/1"]
    assert len(list((tmp_path / "files").iterdir())) == 1
    # Leftover files of an earlier process of the node.
    again = NodeFiles(tmp_path / "files", tmp_path, None)
    again.forget_others(set())
    again.sweep()
    assert list((tmp_path / "files").iterdir()) == []
