"""Creates the portable folder from an installed package, or from another portable folder."""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.errors import Conflict
from orchestrator.security.files.product_files import FOLDER, product_file

PACKAGE = "orchestrator"


def names() -> tuple[str, ...]:
    """Return the names of the files and directories in the portable folder.

    The list lacks the directory with the Python code, ``orchestrator``. A wheel contains copies of
    the listed files and directories in ``orchestrator/portable``.
    """
    document = tomllib.loads(product_file("pyproject.toml").read_text("utf-8"))
    return tuple(document["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])


def check_new(folder: Path) -> None:
    if os.path.lexists(folder):
        raise Conflict(f"{folder} exists; nothing was changed; name a new directory: --folder DIR")


def create(folder: Path) -> None:
    """Copy the product to the new directory ``folder``, completely or not at all.

    Raise Conflict if ``folder`` exists or cannot be created.
    """
    check_new(folder)
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=parent, prefix=f".{folder.name}."))
        try:
            _copy(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(folder.absolute())
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except (OSError, shutil.Error) as error:
        raise Conflict(f"{folder} cannot be created: {error}; nothing was changed") from error


def _copy(destination: Path) -> None:
    for name in names():
        source, target = product_file(name), destination / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_generated_names)
        else:
            shutil.copy2(source, target)
    shutil.copytree(FOLDER / PACKAGE, destination / PACKAGE, ignore=_generated_names)


def _generated_names(directory: str, entries: Iterable[str]) -> set[str]:
    # In an installed package, ``portable`` has copies of the files that ``names`` lists.
    is_top = Path(directory) == FOLDER / PACKAGE
    return {each for each in entries if each == "__pycache__" or (is_top and each == "portable")}
