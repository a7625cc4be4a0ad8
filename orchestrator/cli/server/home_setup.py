"""Creates the home of an installed package, at the first start of a server in a project."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import ConfigError, RepositoryError
from orchestrator.security.files.orchestrator_home import check_private, is_home
from orchestrator.security.files.product_files import FOLDER, product_file

#: Text of the program ``bin/orchestrator`` in a home. The program's directory is on the PATH of
#: workers. The program starts ``spawn`` and ``lock`` without importing a package.
PROGRAM = """\
#!/bin/sh
# The command `orchestrator` of this directory. Each start of its server writes this file again.
python={python}
packages={packages}
home={home}
unset PYTHONHOME
case ${{1-}} in
  spawn) shift; exec "$python" -S -E "$packages/orchestrator/cli/worker/spawn.py" "$@" ;;
  lock) exec "$python" -S -E "$packages/orchestrator/cli/worker/lock.py" "$@" ;;
  unlock) [ -z "${{ORCHESTRATOR_API_KEY-}}" ] ||
    exec "$python" -S -E "$packages/orchestrator/cli/worker/lock.py" "$@" ;;
  mcp) shift
    PYTHONPATH=$packages exec "$python" -S -P -m orchestrator.api.mcp.stdio --home "$home" "$@" ;;
esac
PYTHONPATH=$packages exec "$python" -P -m orchestrator --home "$home" "$@"
"""
#: Text of ``ruff.toml`` in a home, for projects without git: otherwise ruff would check workers'
#: files.
RUFF = 'extend-exclude = ["workspace"]\n'


def prepare_home(folder: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Create the home ``folder``, with the program for workers. Exclude the home from git.

    ``say`` is called with a message if the home is new. Do nothing for the portable folder. Raise
    ConfigError if the home cannot be created, or if git tracks its files. Idempotent.
    """
    if not is_home(folder, environ):
        return
    from orchestrator.config.new_api_key import ensure_key

    try:
        is_new = _create(folder)
        check_private(folder)
        exclusion = _exclude(folder)
        write_command(folder)
        _write_companions(folder)
        if is_new:
            ensure_key(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} cannot be created: {error}") from error
    if is_new:
        say(f"created {folder} for settings, key, workspace, and logs{exclusion}")


def home_option(folder: Path, environ: Mapping[str, str]) -> Sequence[str]:
    """Return the arguments ``--home DIR`` with which another command uses this home.

    Return no arguments in the portable folder.
    """
    return ("--home", str(folder)) if is_home(folder, environ) else ()


def _create(folder: Path) -> bool:
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def write_command(folder: Path) -> Path:
    """Write the program ``bin/orchestrator`` into the home ``folder``, and return its path.

    The program runs this installation with this home. Raise OSError if the file cannot be written.
    """
    program = folder / "bin" / "orchestrator"
    values = {"python": sys.executable, "packages": str(FOLDER), "home": str(folder)}
    text = PROGRAM.format(**{name: shlex.quote(value) for name, value in values.items()})
    program.parent.mkdir(exist_ok=True)
    if not program.is_file() or program.read_text("utf-8") != text:
        unfinished = program.with_name(f".{program.name}.{os.getpid()}")
        unfinished.write_text(text, "utf-8")
        unfinished.chmod(0o755)
        unfinished.replace(program)
    return program


def _write_companions(folder: Path) -> None:
    # The file ruff.toml makes the project's ruff skip the home.
    schema = product_file("config.schema.json").read_text("utf-8")
    for name, text in {"config.schema.json": schema, "ruff.toml": RUFF}.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def _exclude(folder: Path) -> str:
    """Exclude the home from the project's git. Return a text about the exclusion for the user.

    Return "" if nothing was changed. Raise ConfigError if git tracks files of the home: another
    person may have written these files, and their settings can run programs.
    """
    from orchestrator.git.checkout.exclude_rules import exclude, tracked_below

    try:
        if tracked := tracked_below(folder):
            raise ConfigError(
                f"nothing was started: git tracks {tracked}; another person may have written the "
                f"file, and its settings can run programs; check the files in {folder}, then "
                f"remove them from git: git rm -r --cached {shlex.quote(str(folder))}"
            )
        return "; excluded in .git/info/exclude" if exclude(folder) else ""
    except (RepositoryError, OSError):
        return ""  # Without git, or outside a repository, nothing can be committed.
