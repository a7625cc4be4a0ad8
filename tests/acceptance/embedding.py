"""The product's folder as users have it: copied into a user's directory, and installed."""

import os
import shutil
import subprocess
from pathlib import Path

PRODUCT = Path(__file__).resolve().parents[2]
#: Entries that are not copied: install.sh, jobs, git, or tools created them.
NOT_COPIED = {".git", ".venv", ".hypothesis", ".agents-tools", ".test-tools", "config.yaml", "logs"}
NOT_COPIED |= {".install.log", ".install.lock"}
KEY = "key-of-an-embedded-folder"


def _not_copied(directory: str, names: list[str]) -> set[str]:
    is_top, is_workspace = (Path(directory) == each for each in (PRODUCT, PRODUCT / "workspace"))
    if Path(directory).name == "__pycache__":
        # Bytecode is copied: otherwise each copy would compile the product again. Temporary files
        # are not copied, because they may vanish during the copy.
        return {name for name in names if not name.endswith(".pyc")}
    is_code = Path(directory).is_relative_to(PRODUCT / "orchestrator")
    found = {name for name in names if name.endswith("_cache")}
    found |= set() if is_code else {"__pycache__"}.intersection(names)
    found |= NOT_COPIED.intersection(names) if is_top else set()
    return found | (set(names) - {".gitkeep", "go.mod"} if is_workspace else set())


def copy_product(host: Path, name: str = "orchestrator") -> Path:
    """Copy the folder into ``host``, with links to the installed packages. Return the copy."""
    folder = host / name
    shutil.copytree(PRODUCT, folder, symlinks=True, ignore=_not_copied)
    link_packages(folder)
    (folder / "config.yaml").write_text(f"api: {{port: 0, api_key: {KEY}}}\n")
    (folder / "config.yaml").chmod(0o600)
    return folder


def link_packages(folder: Path) -> None:
    """Link the packages, with the stamp of install.sh.

    Without the stamp, install.sh would download all packages for each folder.
    """
    venv = folder / ".venv"
    venv.mkdir()
    for each in (PRODUCT / ".venv").iterdir():
        if not each.name.startswith((".installed-", ".no-grammars")):
            (venv / each.name).symlink_to(each)
    for name in ("requirements", "requirements-survey"):
        listed = (folder / f"{name}.txt").read_text()
        (venv / f".installed-{name}").write_text(f"{folder}\n{listed}")


def run(
    *command: str | Path, cwd: Path, within: float = 110, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. No environment variable names another folder or Python."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "ORCHESTRATOR_", "VIRTUAL_ENV", "PYTEST_"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
    )
