"""Reports are written completely, and only at their own paths."""

import os
import stat
from pathlib import Path

import pytest
import trees
from planted import ROOT

from orchestrator.reports import Reports
from orchestrator.reports.report_writer import ReportError, write_report


def test_a_report_and_its_directories_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = write_report(tmp_path, "reports/job_1.md", "text")
    assert path.read_text() == "text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    write_report(tmp_path, "a.md", "a much longer text")
    write_report(tmp_path, "a.md", "short")
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]
    assert (tmp_path / "a.md").read_text() == "short"


def test_a_planted_link_to_a_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    job = tmp_path / "job"
    job.mkdir()
    (job / "FINAL_RESULT.md").symlink_to(victim)
    path = write_report(job, "FINAL_RESULT.md", "result")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_a_planted_hard_link_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    job = tmp_path / "job"
    job.mkdir()
    os.link(victim, job / "FINAL_RESULT.md")
    write_report(job, "FINAL_RESULT.md", "result")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_planted_link_to_a_directory_is_refused(tmp_path: Path, target: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    job = tmp_path / "job"
    job.mkdir()
    (job / "depth_0").symlink_to(tmp_path / target)
    with pytest.raises(ReportError, match=r"cannot write the report .*LEVEL_0_REPORT\.md"):
        write_report(job, "depth_0/LEVEL_0_REPORT.md", "text")
    assert list(elsewhere.iterdir()) == []
    assert not (tmp_path / "missing").exists()


def test_a_directory_in_the_place_of_a_report_is_renamed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a.md").mkdir()
    (tmp_path / "a.md" / "file").write_text("precious")
    write_report(tmp_path, "a.md", "text")
    assert (tmp_path / "a.md").read_text() == "text"
    [renamed] = tmp_path.glob("a.md.renamed-*")
    assert (renamed / "file").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_report_that_cannot_be_written_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "depth_0").symlink_to(tmp_path)
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(ReportError, match=r"job_d4e5f6\.md"):
        Reports().render(trees.two_levels(), ROOT, tmp_path)
    assert (tmp_path / "FINAL_RESULT.md").read_text().startswith("# ")
    assert (tmp_path / "depth_1" / "LEVEL_1_REPORT.md").is_file()
    assert not (tmp_path / "LEVEL_0_REPORT.md").exists()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    write_report(tmp_path, "a/b/c.md", "text")
    (tmp_path / "a" / "x").symlink_to(tmp_path)
    with pytest.raises(ReportError):
        write_report(tmp_path, "a/x/c.md", "text")
    assert len(os.listdir("/proc/self/fd")) == before
