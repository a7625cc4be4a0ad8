"""Packages of ``.venv`` that are not installed, or that lack files."""

from pathlib import Path

import pytest

from orchestrator.cli.doctor.package_files import incomplete_packages, lost_files, main

PINS = "# a list\nPy.One==1.0 \\\n    --hash=sha256:00\ntzdata==1 ; sys_platform == 'win32' \\\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with one package of two modules, a test, a program, and bytecode."""
    info = tmp_path / "py_one-1.0.dist-info"
    info.mkdir()
    (tmp_path / "one").mkdir()
    for name in ("one/__init__.py", "one/_speed.so"):
        (tmp_path / name).touch()
    names = [
        *("../../../bin/one.py", "one/__init__.py", "one/_speed.so", "one/tests/test_one.py"),
        *("one/__pycache__/__init__.cpython-311.pyc", "py_one-1.0.dist-info/RECORD"),
    ]
    (info / "RECORD").write_text("".join(f"{name},sha256=x,1\n" for name in names))
    return tmp_path


def test_a_complete_package_is_not_named(site: Path) -> None:
    assert [*incomplete_packages(str(site), PINS)] == []


@pytest.mark.parametrize("lost", ["one/__init__.py", "one/_speed.so"])
def test_a_package_that_lacks_a_module_is_named(site: Path, lost: str) -> None:
    (site / lost).unlink()
    assert [*incomplete_packages(str(site), "")] == ["py-one"]
    assert [*lost_files(str(site), "py_one-1.0.dist-info")] == [lost]


def test_a_pinned_package_that_is_not_installed_is_named(site: Path) -> None:
    assert [*incomplete_packages(str(site), f"{PINS}two==1\n")] == ["two"]
    assert [*incomplete_packages(str(site / "missing"), PINS)] == ["py-one"]


def test_a_package_without_a_list_of_its_files_counts_as_complete(site: Path) -> None:
    (site / "py_one-1.0.dist-info/RECORD").unlink()
    assert [*incomplete_packages(str(site), PINS)] == []


def test_the_exit_code_states_if_all_packages_of_the_lists_are_installed(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(site))
    pins, others = tmp_path / "pins", tmp_path / "others"
    pins.write_text(PINS)
    others.write_text("two==1\n")
    assert main([str(pins)]) == 0
    assert main([str(pins), str(others)]) == 1
    assert main([str(tmp_path / "missing")]) == 1
