"""The product's commands, as the user types them in the current directory.

Messages of the command line use this form. Stored texts, such as reports, contain the commands as
typed in the portable folder: the current directory of a report's reader is unknown.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress

from orchestrator import IS_INSTALLED
from orchestrator.core.text import command_name
from orchestrator.core.text.command_name import IN_FOLDER
from orchestrator.security.files.product_files import FOLDER

#: Name of the program on the PATH.
_PROGRAM = "orchestrator"
_INSTALL = "./install.sh"


def path_here(name: str, folder: str, directory: str) -> str:
    """Return the path of the file ``name`` in ``folder``, quoted for the shell.

    Return the shorter of the absolute path and the path relative to ``directory``. The path
    contains a slash, so that the shell does not search the PATH.
    """
    path = os.path.normpath(os.path.join(folder, name))
    relative = os.path.relpath(path, directory)
    relative = relative if "/" in relative else f"./{relative}"
    return shlex.quote(min(relative, path, key=len))


def _path_from_here(name: str) -> str:
    try:
        return path_here(name, os.path.realpath(FOLDER), os.getcwd())
    except OSError:  # the current directory was removed
        return shlex.quote(str(FOLDER / name))


def program_of_home(arguments: Sequence[str], directory: str) -> str:
    """Return the path of the home's program ``bin/orchestrator`` if it started this process.

    ``arguments``: arguments of this process. The program passes ``--home DIR`` as the first
    arguments. Return "" without these arguments, or if the program does not exist.
    """
    home = arguments[1] if arguments[:1] == ["--home"] and len(arguments) > 1 else ""
    if not home or not os.path.isfile(os.path.join(home, IN_FOLDER)):
        return ""
    return path_here(IN_FOLDER, os.path.join(directory, home), directory)


def _command() -> str:
    with suppress(OSError):  # the current directory was removed
        if program := program_of_home(sys.argv[1:], os.getcwd()):
            return program
    if IS_INSTALLED:
        return command_name.COMMAND
    path = shutil.which(_PROGRAM)
    if path and os.path.realpath(path) == os.path.realpath(FOLDER / IN_FOLDER):
        return _PROGRAM
    return _path_from_here(IN_FOLDER)


#: The first word of the commands in the command line's messages.
COMMAND = _command()
#: The command that installs missing packages.
INSTALL_COMMAND = command_name.INSTALL_COMMAND if IS_INSTALLED else _path_from_here(_INSTALL)
_FROM_FOLDER = re.compile(
    rf"(?<![\w./~'-])(?:{re.escape(IN_FOLDER)}(?= [a-z])|{re.escape(_INSTALL)}(?![\w/-]))"
)


def with_paths_here(text: str) -> str:
    """Replace ``bin/orchestrator`` and ``./install.sh`` by commands for the current directory."""
    if IS_INSTALLED:
        return text
    return _FROM_FOLDER.sub(lambda at: COMMAND if at[0] == IN_FOLDER else INSTALL_COMMAND, text)
