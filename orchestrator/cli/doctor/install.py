"""Doctor's look at the installation: Python, ``.venv``, packages."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.cli.doctor.check import HealthCheck, quoted

OLDEST, NEWEST = (3, 11), (3, 13)
SHOWN_PACKAGES = 5
#: Without those that not every machine gets, which have a marker behind a semicolon.
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]++)(?!\s*;)", re.MULTILINE)


def install_checks(folder: Path) -> Iterator[HealthCheck]:
    yield _python()
    yield _venv(folder)
    yield _packages(folder / "requirements.txt", folder)


def _python() -> HealthCheck:
    version = sys.version_info[:2]
    text = ".".join(map(str, sys.version_info[:3]))
    if version < OLDEST:
        fix = "install Python 3.11 or newer, remove .venv and run ./install.sh again"
        return HealthCheck(name="python", ok=False, message=f"{text} is too old", fix=fix)
    if version > NEWEST:
        return HealthCheck(name="python", ok=None, message=f"{text}; tested with 3.11 to 3.13")
    return HealthCheck(name="python", ok=True, message=text)


def _venv(folder: Path) -> HealthCheck:
    own = folder / ".venv"
    if not (own / "bin" / "python").exists():
        message = f"{own} is missing; this runs in {sys.prefix}"
        return HealthCheck(name=".venv", ok=None, message=message)
    if Path(sys.prefix).resolve() != own.resolve():
        return HealthCheck(name=".venv", ok=None, message=f"not in use; this runs in {sys.prefix}")
    return HealthCheck(name=".venv", ok=True, message=str(own))


def _packages(requirements: Path, folder: Path) -> HealthCheck:
    try:
        pins = _PIN.findall(requirements.read_text("utf-8"))
    except OSError as error:
        fix = "copy the whole folder again"
        message = f"{requirements} cannot be read: {error.strerror}"
        return HealthCheck(name="packages", ok=False, message=message, fix=fix)
    wrong = [text for name, version in pins if (text := _deviation(name, version))]
    if not wrong:
        return HealthCheck(name="packages", ok=True, message=f"{len(pins)} as pinned")
    shown = "; ".join(wrong[:SHOWN_PACKAGES])
    more = f" and {len(wrong) - SHOWN_PACKAGES} more" if len(wrong) > SHOWN_PACKAGES else ""
    fix = f"run {quoted(folder / 'install.sh')}"
    return HealthCheck(name="packages", ok=False, message=shown + more, fix=fix)


def _deviation(name: str, version: str) -> str | None:
    # All commands are loaded for the list of them, and this takes long.
    from importlib import metadata

    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    return None if installed == version else f"{name} is {installed}, not {version}"
