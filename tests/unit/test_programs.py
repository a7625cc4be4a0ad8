"""A test whose program is missing fails on the build server. On other machines it is skipped."""

import shutil

import pytest

from tests.support.programs import BY_HAND, require_programs

MISSING = "program-that-nobody-has"


def test_a_missing_program_fails_the_test_on_the_build_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"run-tests\.sh installs it"):
        require_programs(monkeypatch, MISSING)
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match=MISSING):
        require_programs(monkeypatch, MISSING)


@pytest.mark.parametrize("program", BY_HAND)
def test_a_program_that_the_scripts_cannot_install_is_never_required(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(pytest.skip.Exception, match="install"):
        require_programs(monkeypatch, program)
