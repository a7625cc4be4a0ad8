"""Paths of the server become paths of a node with its own file system."""

import pytest

from orchestrator.launchers.cluster.files.node_files import PathMap

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
