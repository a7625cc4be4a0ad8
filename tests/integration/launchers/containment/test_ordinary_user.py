"""If root runs the tests, these tests run again as the user ``nobody``."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.examples import AT_NIGHT

pytestmark = pytest.mark.slow

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.mark.timeout(600)
def test_containment_holds_for_an_ordinary_user_too() -> None:
    product, python = Path(__file__).parents[4], _python_for_all()
    if os.getuid() != 0 or shutil.which("setpriv") is None or python is None:
        pytest.skip("only root can become somebody else, who needs a Python that all may run")
    if not _may_read(product):
        pytest.skip(f"{product} is not for everybody to read")
    place = Path(tempfile.mkdtemp())
    os.chown(place, 65534, 65534)
    # By day, tests of escapes; at night, also tests of forged records.
    names = ["containment/test_containment", "containment/test_containment_kills"]
    names += ["exit_record/test_forged_records"] if AT_NIGHT else []
    tests = [Path(__file__).parents[1] / f"{name}.py" for name in names]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*NOBODY, *python, *map(str, tests), f"--basetemp={place}/t", "-q", "-rs"],
            cwd=product,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def _may_read(place: Path) -> bool:
    argv = [*NOBODY, "test", "-r", str(place / "pyproject.toml")]
    return subprocess.run(argv, check=False).returncode == 0


def _python_for_all() -> tuple[str, ...] | None:
    """Return a command that any user may run: pytest with this version of Python."""
    import pytest as installed

    packages = str(Path(installed.__file__).parents[1])
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    begin = f"import sys; sys.path[:0] = ['', {packages!r}]; import pytest; "
    code = begin + "sys.exit(pytest.main(sys.argv[1:]))"
    for candidate in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        # Through a shell, because setpriv still has root's rights when it starts a program.
        trial = [*NOBODY, "sh", "-c", 'exec "$0" -c "$1"', str(candidate), begin]
        if candidate and subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return (candidate, "-c", code)
    return None
