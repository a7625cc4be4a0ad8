"""Doctor's check of the installation: Python, ``.venv``, packages."""

import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator import IS_INSTALLED
from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.cli.doctor.package_files import PIN, incomplete_packages, normalized
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import GRAMMARS, INSTALL_COMMAND
from orchestrator.core.text.formatting import listed
from orchestrator.security.files.product_files import product_file

OLDEST, NEWEST = (3, 11), (3, 14)
SHOWN_PACKAGES = 5


def install_checks(folder: Path) -> Iterator[HealthCheck]:
    yield _python()
    if IS_INSTALLED:
        yield HealthCheck(name="package", ok=True, message=f"installed in {sys.prefix}")
        # The metadata pins direct dependencies only; indirect dependencies may be newer than in
        # requirements.txt.
        yield _packages(_metadata_pins(), INSTALL_COMMAND)
        folder = product_file("")
    else:
        yield _venv(folder)
        yield _folder_packages(folder)
    yield _grammars(folder / "requirements-survey.txt", folder)


def _python() -> HealthCheck:
    version = sys.version_info[:2]
    text = ".".join(map(str, sys.version_info[:3]))
    if version < OLDEST:
        fix = "install Python 3.11 or newer, remove .venv, and run ./install.sh"
        return HealthCheck(name="python", ok=False, message=f"{text} is too old", fix=fix)
    if version > NEWEST:
        oldest, newest = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
        tested = f"tested with {oldest} to {newest}"
        return HealthCheck(name="python", ok=None, message=f"{text}; {tested}")
    return HealthCheck(name="python", ok=True, message=text)


def _venv(folder: Path) -> HealthCheck:
    venv = folder / ".venv"
    if not (venv / "bin" / "python").exists():
        message = f"{venv} does not exist; this command runs in {sys.prefix}"
        return HealthCheck(name=".venv", ok=None, message=message)
    if Path(sys.prefix).resolve() != venv.resolve():
        return HealthCheck(
            name=".venv", ok=None, message=f".venv is not in use; this command runs in {sys.prefix}"
        )
    return HealthCheck(name=".venv", ok=True, message=str(venv))


def _folder_packages(folder: Path) -> HealthCheck:
    requirements = folder / "requirements.txt"
    try:
        pins = _pins(requirements)
    except OSError as error:
        return _incomplete("packages", requirements, error)
    installer = quoted(folder / "install.sh")
    if all(pin.installed and not pin.lacks_files for pin in pins) and _deviations(pins):
        # install.sh keeps a package of another version, because a package of --with may need it.
        installer = f"rm -rf {quoted(folder / '.venv')} && {installer}, after the server's end"
    return _packages(pins, installer)


def _packages(pins: list["_Pin"], installer: str) -> HealthCheck:
    if deviations := _deviations(pins):
        return HealthCheck(name="packages", ok=False, message=deviations, fix=f"run {installer}")
    message = f"{len(pins)} packages, all in the pinned versions"
    return HealthCheck(name="packages", ok=True, message=message)


def _grammars(requirements: Path, folder: Path) -> HealthCheck:
    try:
        pins = _pins(requirements)
    except OSError as error:
        return _incomplete("grammars", requirements, error)
    deviations = _deviations(pins)
    if not deviations:
        message = f"{len(pins)} packages, all in the pinned versions"
        return HealthCheck(name="grammars", ok=True, message=message)
    if not any(pin.installed for pin in pins):
        deviations = "not installed"
    message = (
        f"{deviations}; without grammars, the survey reads only Python, and counts the lines of "
        "other languages"
    )
    fix = f"run {quoted(folder / 'install.sh')} --grammars"
    if IS_INSTALLED:
        fix = f"run {GRAMMARS.strip('`')}"
    return HealthCheck(name="grammars", ok=None, message=message, fix=fix)


def _incomplete(name: str, requirements: Path, error: OSError) -> HealthCheck:
    message = f"{requirements} cannot be read: {error.strerror}"
    return HealthCheck(
        name=name,
        ok=False,
        message=message,
        fix="the folder is incomplete; copy the whole folder again",
    )


@dataclass(frozen=True, slots=True)
class _Pin:
    name: str
    version: str
    #: The installed version; None: not installed.
    installed: str | None
    lacks_files: bool


def _pins(requirements: Path) -> list[_Pin]:
    return _pins_in(requirements.read_text("utf-8"))


def _metadata_pins() -> list[_Pin]:
    from importlib import metadata

    return _pins_in("\n".join(metadata.requires("recursive-orchestrator") or ()))


def _pins_in(text: str) -> list[_Pin]:
    packages = set(incomplete_packages(sysconfig.get_path("purelib"), ""))
    return [
        _Pin(name, version, _installed(name), lacks_files=normalized(name) in packages)
        for name, version in PIN.findall(text)
    ]


def _installed(name: str) -> str | None:
    # Imported here, because --help loads all commands, and this import is slow.
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _deviations(pins: Iterable[_Pin]) -> str:
    wrong = (pin for pin in pins if pin.installed != pin.version or pin.lacks_files)
    deviations = [_deviation(pin) for pin in wrong]
    return listed(deviations, SHOWN_PACKAGES, "; ")


def _deviation(pin: _Pin) -> str:
    if pin.installed is None:
        return f"{pin.name} is not installed"
    if pin.lacks_files:
        return f"{pin.name} lacks files"
    return f"{pin.name} is {pin.installed}, not {pin.version}"
