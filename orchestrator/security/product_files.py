"""Locations of the product's own files, in the portable folder and in an installed package."""

from pathlib import Path

from orchestrator import IS_INSTALLED, PORTABLE

#: Holds the package: the portable folder, or the ``site-packages`` of an environment.
FOLDER = Path(__file__).absolute().parents[2]
#: The same directory without links, for the import path of processes.
PACKAGES = str(FOLDER.resolve())


def product_file(name: str) -> Path:
    """Return the path of a product's file or directory.

    ``name``: its path in the portable folder.
    """
    return (Path(PORTABLE) if IS_INSTALLED else FOLDER) / name
