"""Commands for messages to users, such as ``orchestrator serve``. Users can paste each command."""

from pathlib import PurePath
from shlex import quote

from orchestrator import IS_INSTALLED

#: The command in texts that must be the same for a portable folder and an installed package.
IN_FOLDER = "bin/orchestrator"
#: The command as users type it: ``bin/orchestrator`` in the folder, or ``orchestrator`` on the
#: PATH. Every command in a message begins with it.
COMMAND = "orchestrator" if IS_INSTALLED else IN_FOLDER
#: The command that writes a missing API key into config.yaml.
KEY_COMMAND = f"{COMMAND} serve" if IS_INSTALLED else "./install.sh"
#: The command that installs missing packages.
INSTALL_COMMAND = "pipx reinstall recursive-orchestrator" if IS_INSTALLED else "./install.sh"
#: How to install the grammars that `survey` needs for languages other than Python.
GRAMMARS = (
    "`pipx inject recursive-orchestrator 'recursive-orchestrator[survey]'`"
    if IS_INSTALLED
    else "`./install.sh --grammars` in the orchestrator's folder"
)


def git_in(directory: str | PurePath) -> str:
    """Return the beginning of a git command that users can type in any directory.

    The user is often in the portable folder, which may be a git repository itself.
    """
    return f"git -C {quote(str(directory))}"


def install_command(packages: str) -> str:
    """Return the command that installs further packages, such as ``apprise``.

    In the portable folder, the command is ``install.sh``, because the folder's ``.venv`` has no
    pip.
    """
    if IS_INSTALLED:
        return f"pipx inject recursive-orchestrator {packages}"
    return " ".join(("./install.sh", *(f"--with {each}" for each in packages.split())))
