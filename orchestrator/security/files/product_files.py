"""Locations of the product's own files, in the portable folder and in an installed package."""

from pathlib import Path

from orchestrator import IS_INSTALLED, PORTABLE

#: Directory that contains the package: the portable folder, or an environment's ``site-packages``.
FOLDER = Path(__file__).absolute().parents[3]
#: The same directory with links resolved, for the import path of started processes.
PACKAGES = str(FOLDER.resolve())


def product_file(name: str) -> Path:
    """Return the path of a file or directory of the product.

    ``name``: the path relative to the portable folder.
    """
    return (Path(PORTABLE) if IS_INSTALLED else FOLDER) / name
