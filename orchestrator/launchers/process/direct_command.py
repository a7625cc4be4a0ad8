"""Detects commands for ``bash -c`` that need no shell, because a shell doubles the cost of a short
command.

The rule is that of GNU make (``construct_command_argv_internal`` in its job.c, ``sh_chars_sh`` and
``sh_cmds_sh``), but stricter. A command is split here only if no character has a meaning for bash,
and its first word is neither a builtin nor a keyword. Bash runs all other commands.
"""

import os
import re
from collections.abc import Mapping, Sequence

#: Characters without a meaning for bash, and blanks between words.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./ \t-]+")
#: ``compgen -b`` and ``compgen -k`` of bash 5.3, with names of other versions.
_BUILTINS = (
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare"
    " dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill"
    " let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt"
    " source suspend test times trap true type typeset ulimit umask unalias unset wait"
)
_KEYWORDS = "if then else elif fi case esac for select while until do done in function time coproc"
_OF_BASH = frozenset(f"{_BUILTINS} {_KEYWORDS}".split())
#: Variables with which bash does more than run the command, or changes the environment.
_MEANING = frozenset(("OLDPWD", "SHELLOPTS", "POSIXLY_CORRECT", "_", "SHLVL", "PWD"))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The names of bash; another program may treat the command differently.
_SHELLS = frozenset(("/bin/bash", "/usr/bin/bash"))


def words(argv: Sequence[str], env: Mapping[str, str]) -> Sequence[str]:
    """Return the arguments of a command that needs no shell; empty if the command needs bash."""
    if len(argv) != 3 or (argv[:2] != ["bash", "-c"] and argv[:2] != ("bash", "-c")):
        return ()
    command = argv[2]
    if not _PLAIN.fullmatch(command) or any(map(_matters, env)):
        return ()
    found = command.split()
    # An assignment, or a job of bash.
    if not found or "=" in found[0] or found[0].startswith("%") or found[0] in _OF_BASH:
        return ()
    return found


def _matters(name: str) -> bool:
    return name in _MEANING or name.startswith("BASH") or not _NAME.fullmatch(name)


def is_bash(path: str) -> bool:
    """True if a program is bash, for which the rule was written."""
    return path in _SHELLS


def surroundings(env: Mapping[str, str], program: str) -> Mapping[str, str]:
    """Return the environment that bash would pass to a single program."""
    return {**env, "PWD": os.getcwd(), "SHLVL": "0", "_": program}
