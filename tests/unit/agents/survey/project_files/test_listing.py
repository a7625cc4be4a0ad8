"""The files that are surveyed."""

import os
from pathlib import Path

import pytest

from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment
from orchestrator.agents.survey.project_files.listing import Listing, list_files, shown, within
from tests.unit.agents.survey.trees import git, plant


def _listing(root: Path, *paths: str, excluded: tuple[Path, ...] = ()) -> Listing:
    return list_files(SurveyEnvironment(root=root, directory=root, excluded=excluded), paths)


def _paths(listing: Listing) -> list[str]:
    return [file.path for file in listing.files]


def test_without_git_vendored_and_built_directories_are_omitted(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "", "src/b.py": "", ".github/x.yml": ""})
    plant(tmp_path, {"node_modules/c.js": "", "src/__pycache__/d.pyc": "", "dist/e.js": ""})
    plant(tmp_path, {"env/pyvenv.cfg": "", "env/f.py": "", "vendor/g.py": ""})
    listing = _listing(tmp_path)
    assert _paths(listing) == [".github/x.yml", "a.py", "src/b.py", "vendor/g.py"]
    assert not listing.by_git
    assert {"node_modules", "dist", "env"} <= set(listing.directories_skipped)


def test_the_listing_has_the_files_that_git_does_not_ignore(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "", "b.log": "", ".gitignore": "*.log\n", "gone.py": "", "dist/c": ""})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py", "gone.py")
    (tmp_path / "gone.py").unlink()
    listing = _listing(tmp_path)
    assert listing.by_git
    assert _paths(listing) == [".gitignore", "a.py", "dist/c"]


def test_a_folder_that_an_outer_repository_ignores_is_walked(tmp_path: Path) -> None:
    git(plant(tmp_path, {".gitignore": "scratch\n", "scratch/a.py": ""}), "init", "-q")
    assert _paths(_listing(tmp_path / "scratch")) == ["a.py"]


def test_links_their_targets_and_pipes_are_omitted(tmp_path: Path) -> None:
    plant(tmp_path / "elsewhere", {"secret.py": ""})
    root = plant(tmp_path / "project", {"a.py": "", "real/b.py": ""})
    git(root, "init", "-q")
    git(root, "add", "-A")
    (root / "real/b.py").unlink()
    (root / "real").rmdir()
    (root / "real").symlink_to(tmp_path / "elsewhere")
    (root / "elsewhere.py").symlink_to(tmp_path / "elsewhere/secret.py")
    os.mkfifo(root / "pipe")
    listing = _listing(root)
    assert _paths(listing) == ["a.py"]
    assert "elsewhere.py" in listing.links


def test_a_walk_counts_pipes_as_special_files(tmp_path: Path) -> None:
    os.mkfifo(plant(tmp_path, {"a.py": ""}) / "pipe")
    listing = _listing(tmp_path)
    assert (_paths(listing), listing.special) == (["a.py"], ["pipe"])


def test_our_own_folder_is_never_surveyed(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "", "tools/orchestrator/b.py": "", "tools/orchestrator2/c.py": ""})
    listing = _listing(tmp_path, excluded=(tmp_path / "tools/orchestrator",))
    assert _paths(listing) == ["a.py", "tools/orchestrator2/c.py"]


def test_directories_of_the_portable_folder_are_not_reported_as_skipped(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": "", "ours/.venv/b.py": "", "ours/c/__pycache__/d.pyc": ""})
    assert _listing(tmp_path, excluded=(tmp_path / "ours",)).directories_skipped == []


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["src"], ["src/a.py", "src/deep/b.py"]),
        (["src/*"], ["src/a.py"]),
        (["*"], ["top.py"]),
        (["top.py", "src/deep"], ["src/deep/b.py", "top.py"]),
        (["src", "src/*", "src/a.py"], ["src/a.py", "src/deep/b.py"]),
        (["."], ["src/a.py", "src/deep/b.py", "src2/c.py", "top.py"]),
    ],
)
@pytest.mark.parametrize("is_repository", [False, True])
def test_paths_name_files_directories_or_direct_files(
    tmp_path: Path, is_repository: bool, paths: list[str], expected: list[str]
) -> None:
    plant(tmp_path, {"top.py": "", "src/a.py": "", "src/deep/b.py": "", "src2/c.py": ""})
    if is_repository:
        git(tmp_path, "init", "-q")
    assert _paths(_listing(tmp_path, *paths)) == expected


def test_a_path_that_does_not_exist_or_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(SurveyError, match="'nope' does not exist"):
        _listing(tmp_path, "nope")
    with pytest.raises(SurveyError, match="symbolic link"):
        _listing(tmp_path, "link")


@pytest.mark.parametrize("is_repository", [False, True])
def test_odd_names_are_listed_and_shown(tmp_path: Path, is_repository: bool) -> None:
    names = [b"not-utf8-\xff.py", b"new\nline.py", b"-dash.py", b":(glob)x.py"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    if is_repository:
        git(tmp_path, "init", "-q")
    found = _paths(_listing(tmp_path))
    assert sorted(found) == sorted(os.fsdecode(name) for name in names)
    assert "not-utf8-\\xff.py" in [shown(path) for path in found]


def test_within_matches_only_whole_names() -> None:
    holds = within(["src/a", "lib/*"])
    assert holds("src/a/b/c.py") and holds("lib/x.py")
    assert not holds("src/ab.py") and not holds("lib/deep/x.py") and not holds("x.py")
