"""Commands for messages to users, such as ``orchestrator serve``. Users can paste each command."""

import sys
from pathlib import PurePath
from shlex import quote

from orchestrator import INSTALLER, IS_INSTALLED

_PACKAGE = "recursive-orchestrator"
_GRAMMARS = f"'{_PACKAGE}[survey]'"


def command_of(installer: str) -> str:
    """Return the command that users type if orchestrator is installed as a package.

    ``installer``: a value of ``INSTALLER``. For uvx, the command begins with ``uvx``, because uvx
    adds no command to the user's PATH.
    """
    return f"{installer} orchestrator" if installer.startswith("uvx ") else "orchestrator"


def packages_command_of(installer: str, packages: str) -> str:
    """Return the command that installs ``packages`` for an orchestrator installed as a package.

    ``installer``: a value of ``INSTALLER``.
    """
    if installer.startswith("uvx "):
        options = " ".join(f"--with {each}" for each in packages.split())
        return f"{installer} {options} orchestrator"
    if installer == "pipx":
        return f"pipx inject {_PACKAGE} {packages}"
    return f"{quote(sys.executable)} -m pip install {packages}"


def reinstall_command_of(installer: str) -> str:
    """Return the command that restores missing files of an orchestrator installed as a package.

    ``installer``: a value of ``INSTALLER``.
    """
    if installer.startswith("uvx "):
        return f"{installer} --refresh orchestrator"
    if installer == "pipx":
        return f"pipx reinstall {_PACKAGE}"
    return f"{quote(sys.executable)} -m pip install --force-reinstall {_PACKAGE}"


#: The command in texts that must be the same for a portable folder and an installed package.
IN_FOLDER = "bin/orchestrator"
#: The command as users type it: ``bin/orchestrator`` in the folder, ``orchestrator`` on the PATH,
#: or a command of uvx. Every command in a message begins with it.
COMMAND = command_of(INSTALLER) if IS_INSTALLED else IN_FOLDER
#: The command that writes a missing API key into config.yaml.
KEY_COMMAND = f"{COMMAND} serve" if IS_INSTALLED else "./install.sh"
#: The command that installs missing packages.
INSTALL_COMMAND = reinstall_command_of(INSTALLER) if IS_INSTALLED else "./install.sh"
#: How to install the grammars that `survey` needs for languages other than Python.
GRAMMARS = (
    f"`{packages_command_of(INSTALLER, _GRAMMARS)}`"
    if IS_INSTALLED
    else "`./install.sh --grammars` in the orchestrator's folder"
)


def git_in(directory: str | PurePath) -> str:
    """Return ``git -C DIRECTORY``: the beginning of a git command for a repository.

    Without ``-C``, git would use the repository of the current directory, which is often the
    portable folder.
    """
    return f"git -C {quote(str(directory))}"


def install_command(packages: str) -> str:
    """Return the command that installs further packages, such as ``apprise``.

    In the portable folder, the command is ``install.sh``, because the folder's ``.venv`` has no
    pip.
    """
    if IS_INSTALLED:
        return packages_command_of(INSTALLER, packages)
    return " ".join(("./install.sh", *(f"--with {each}" for each in packages.split())))
