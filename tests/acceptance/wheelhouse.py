"""Creates wheels of the packages that the product and its build need, from installed packages."""

import base64
import csv
import hashlib
import io
import re
import zipfile
from importlib import metadata
from pathlib import Path

from tests.support.programs import TOOLS

PRODUCT = Path(__file__).resolve().parents[2]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


#: hatchling, which builds the product's wheel, and its dependencies.
_BUILD = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")


def fill(directory: Path) -> None:
    """Write a wheel for each installed package of requirements.txt."""
    directory.mkdir()
    for name in _PIN.findall((PRODUCT / "requirements.txt").read_text("utf-8")):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # needed only on other kinds of machines
        _write(found, directory)


def fill_for_build(directory: Path) -> None:
    """Write a wheel for each package that builds the product's wheel, from .test-tools."""
    places = [str(each) for each in (TOOLS / "python" / "lib").glob("python*/site-packages")]
    for name in _BUILD:
        [found] = metadata.distributions(name=name, path=places)
        _write(found, directory)


def _write(found: metadata.Distribution, directory: Path) -> None:
    """Write a package's installed files as a wheel, without scripts and compiled code."""
    described = found.read_text("WHEEL") or ""
    python, abi, platform = _tags(described)
    stem = f"{found.metadata['Name'].replace('-', '_').replace('.', '_')}-{found.version}"
    files = [
        each
        for each in found.files or ()
        if ".." not in each.parts and each.suffix != ".pyc" and each.name not in _INSTALLERS
    ]
    [info] = {each.parts[0] for each in files if each.parts[0].endswith(".dist-info")}
    rows = io.StringIO()
    listed = csv.writer(rows, lineterminator="\n")
    path = directory / f"{stem}-{python}-{abi}-{platform}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each in files:
            content = Path(str(each.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            listed.writerow([each, f"sha256={digest.decode()}", len(content)])
            archive.writestr(str(each), content)
        listed.writerow([f"{info}/RECORD", "", ""])
        archive.writestr(f"{info}/RECORD", rows.getvalue())


_INSTALLERS = frozenset(("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"))


def _tags(described: str) -> tuple[str, str, str]:
    """Return the Python, ABI, and platform tags for a wheel's name. Dots join several tags."""
    tags = [each.split() for each in described.splitlines()]
    parts = [words[1].split("-") for words in tags if words[:1] == ["Tag:"]]
    found = [".".join(dict.fromkeys(each)) for each in zip(*parts, strict=True)]
    return found[0], found[1], found[2]
