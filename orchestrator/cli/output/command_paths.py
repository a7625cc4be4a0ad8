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


def split_home(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the value of ``--home`` if this option comes first, and the other arguments.

    The program ``bin/orchestrator`` of a home passes ``--home DIR`` first. The value is "" without
    this option.
    """
    option, _, value = (arguments[0] if arguments else "").partition("=")
    if option != "--home":
        return "", list(arguments)
    if value:
        return value, list(arguments[1:])
    return "".join(arguments[1:2]), list(arguments[2:])


def command_of_home(home: str, directory: str, search_path: str | None = None) -> str:
    """Return the path of the home's program ``bin/orchestrator``.

    Return ``orchestrator`` if the PATH finds this program. Return "" if the program does not exist.
    ``search_path``: PATH; None: PATH of this process.
    """
    program = os.path.join(directory, home, IN_FOLDER)
    if not os.path.isfile(program):
        return ""
    if _is_on_path(program, search_path):
        return _PROGRAM
    return path_here(IN_FOLDER, os.path.join(directory, home), directory)


def _is_on_path(program: str, search_path: str | None = None) -> bool:
    path = shutil.which(_PROGRAM, path=search_path)
    return path is not None and os.path.realpath(path) == os.path.realpath(program)


def _command() -> str:
    home, _ = split_home(sys.argv[1:])
    with suppress(OSError):  # the current directory was removed
        if home and (program := command_of_home(home, os.getcwd())):
            return program
    if IS_INSTALLED:
        command = command_name.COMMAND
    else:
        program = str(FOLDER / IN_FOLDER)
        command = _PROGRAM if _is_on_path(program) else _path_from_here(IN_FOLDER)
    # The first command with a new home has no program of this home yet.
    return f"{command} --home {shlex.quote(home)}" if home else command


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
