"""The text of every report equals its file below ``golden/``.

``UPDATE_GOLDEN=1`` rewrites the files; read the difference before you commit it.
"""

import os
from pathlib import Path

import pytest
import trees

from orchestrator.reports import Reports

GOLDEN = Path(__file__).parent / "golden"
PLACE = "/workspace/job_a1b2c3"
NOTICE = "Nothing was built: no AI agent is installed. `orchestrator doctor` says how to add one."


def rendered(case: str, directory: Path) -> dict[str, str]:
    notice = NOTICE if case == "two_levels" else ""
    tree = trees.ALL[case]()
    paths = Reports(processors=8).render(
        tree, tree.root.id, directory, notice=notice, merges=trees.MERGES.get(case, {})
    )
    return {
        str(path.relative_to(directory)): path.read_text().replace(str(directory), PLACE)
        for path in paths
    }


def write_golden(case: str, files: dict[str, str]) -> None:
    folder = GOLDEN / case
    for old in folder.rglob("*"):
        if old.is_file():
            old.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("case", sorted(trees.ALL))
def test_reports_equal_their_golden_files(case: str, tmp_path: Path) -> None:
    files = rendered(case, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        write_golden(case, files)
    folder = GOLDEN / case
    golden = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert files == golden
