"""Current and former locations of workspace and project."""

from pathlib import Path

from orchestrator.workspace import WorkspaceLocation


def test_a_project_that_was_moved_is_known_by_its_former_paths(tmp_path: Path) -> None:
    host = tmp_path / "host"
    (host / "workspace").mkdir(parents=True)
    first = WorkspaceLocation(host / "workspace", host)
    assert first.has_changed() and not first.former
    first.save()
    assert not WorkspaceLocation(host / "workspace", host).has_changed()

    moved = host.rename(tmp_path / "moved")
    second = WorkspaceLocation(moved / "workspace", moved)
    assert second.has_changed() and second.former == (str(host),)
    second.save()

    third = WorkspaceLocation(moved / "workspace", moved)
    assert not third.has_changed() and third.former == (str(host),)


def test_a_workspace_for_another_existing_project_is_new(tmp_path: Path) -> None:
    for name in ("workspace", "one", "two"):
        (tmp_path / name).mkdir()
    one = WorkspaceLocation(tmp_path / "workspace", tmp_path / "one")
    assert one.has_changed()
    one.save()

    two = WorkspaceLocation(tmp_path / "workspace", tmp_path / "two")

    assert two.has_changed() and not two.former


def test_a_moved_or_replaced_project_is_noticed(tmp_path: Path) -> None:
    project = tmp_path / "a project"
    project.mkdir()
    location = WorkspaceLocation(tmp_path, project)
    location.record_identities()
    assert location.moved_error() == ""

    moved = project.rename(tmp_path / "moved")
    assert location.moved_error().startswith(f"{project} was moved")
    project.mkdir()
    assert location.moved_error(), "another directory has its path"
    project.rmdir()
    moved.rename(project)
    assert location.moved_error() == ""


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for content in (b"", b"no json", b"[1]"):
        (tmp_path / ".place").write_bytes(content)
        assert WorkspaceLocation(tmp_path, tmp_path).has_changed()
