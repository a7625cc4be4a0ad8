"""Real output of ``pre-commit run`` is read hook by hook."""

from orchestrator.core.gates.findings import Reading
from orchestrator.gates.parsers.linters import read_pre_commit

PRINTED = b"""[INFO] Installing environment for local.
ruff....................................................................Passed
no bad words............................................................Failed
- hook id: nobad
- exit code: 1

b.txt:1:BAD thing
mend... ends............................................................Failed
- hook id: fix
- files were modified by this hook
shellcheck..........................................(no files to check)Skipped
"""


def test_hooks_pass_fail_or_have_no_files() -> None:
    found = read_pre_commit(PRINTED)
    assert [finding.text for finding in found.findings] == [
        "no bad words: hook id: nobad, exit code: 1",
        "mend... ends: hook id: fix, files were modified by this hook",
    ]
    assert [finding.key for finding in found.findings] == ["no bad words", "mend... ends"]
    assert found.passed == ("ruff", "shellcheck")


def test_other_output_has_no_hooks() -> None:
    assert read_pre_commit(b"An error has occurred\xff" + b"." * 200_000) == Reading(passed=())
