"""The prompt text about a child job that changed the same files as its parent."""

import subprocess
from pathlib import Path

from orchestrator.engine.merge.record.merge_record import MergeRecord
from orchestrator.engine.merge.record.merge_report_text import (
    MOST_PATHS,
    MOST_PATHSPECS,
    outcome_lines,
)
from tests.support.project import Project

BEGAN = {"gone.txt": "1\n", "a*b [x].txt": "1\n", "part/app.py": "1\n", "old.txt": "1\n2\n3\n"}


def handed(paths: list[str], **nowhere: str) -> MergeRecord:
    return MergeRecord(
        job_id="def456",
        strategy="auto",
        base="",
        conflicts=[
            {"path": each, "ours": "", "theirs": nowhere.get(each, "1"), "resolved": False}
            for each in paths
        ],
        handed={
            "worker_id": "worker_1",
            "branch": "orchestrator/abc123/worker_1",
            "ours": "0" * 40,
            "theirs": "theirs",
            "paths": paths,
        },
    )


def command(record: MergeRecord, beginning: str) -> str:
    [found] = [each for each in outcome_lines(record) if each.startswith(beginning)]
    return found.removeprefix(beginning)


def run(text: str, directory: Path) -> None:
    subprocess.run(["bash", "-ec", text], check=True, cwd=directory, timeout=60)


def test_the_command_restores_the_child_job_s_files_after_any_change(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path / "project").begin(BEGAN)
    project.git("checkout", "-qb", "theirs")
    project.git("rm", "-q", "gone.txt")
    project.git("mv", "old.txt", "theirs.txt")
    project.commit({"a*b [x].txt": "theirs\n", "part/app.py": "theirs\n"})
    project.git("checkout", "-q", "main")
    for name in ("gone.txt", "a*b [x].txt", "part/app.py"):
        project.write(name, "mine\n")
    (project.path / "old.txt").rename(project.path / "mine.txt")
    record = handed([*BEGAN, "theirs.txt", "mine.txt"], **{"old.txt": ""})

    run(command(record, "To use the child job's files: "), project.path / "part")

    assert project.git("diff", "--cached", "theirs") == ""
    assert project.git("diff") == ""


def test_many_files_are_counted_and_commands_stay_short() -> None:
    few, many = ([f"file_{n}" for n in range(count)] for count in (MOST_PATHS + 2, 5000))

    assert "file_9 and 2 more. The result" in "\n".join(outcome_lines(handed(few)))
    assert ":/file_11" in command(handed(few), "To use the child job's files: ")
    lines = list(outcome_lines(handed(many)))
    assert len(many) > MOST_PATHSPECS and max(map(len, lines)) < 1000
    assert "To see the differences: git diff 000000000000 theirs" in lines
