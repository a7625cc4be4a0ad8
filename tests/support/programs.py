"""Programs that tests run in host projects, as ./run-tests.sh installs them.

If a program is missing, its test is skipped. With ``CI=true``, the test fails instead.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(__file__).resolve().parents[2] / ".test-tools"
#: Directories that are searched last: programs of the machine or of a project take precedence.
PLACES = (TOOLS / "node" / "node_modules" / ".bin", TOOLS / "python" / "bin")
#: Programs that run-tests.sh does not install, with the commands that install them: some build
#: servers cannot reach the registries, and compiling takes minutes.
BY_HAND = {
    "cargo-audit": "cargo install cargo-audit",
    "gitleaks": "go install github.com/zricethezav/gitleaks/v8@latest",
    "govulncheck": "go install golang.org/x/vuln/cmd/govulncheck@latest",
}


#: For tests that write to a device which is always full, as Linux has it.
needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this machine has no /dev/full"
)


def search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, PLACES)])


def require_programs(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Require programs on PATH; otherwise skip the test, or fail in CI."""
    for program in programs:
        if shutil.which(program, path=search_path()):
            continue
        if program in BY_HAND:
            pytest.skip(f"{program} is not installed; {BY_HAND[program]}")
        skip_or_fail(f"{program} is not installed; ./run-tests.sh installs it")
    monkeypatch.setenv("PATH", search_path())


def skip_or_fail(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
