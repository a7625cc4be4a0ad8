"""Finds ``bash -c`` commands that can run without bash, and splits them into words.

Starting a shell doubles the cost of a short command. Therefore bash is skipped if a command has no
special characters, and does not begin with a builtin or keyword. GNU make has a similar, less
strict rule (``construct_command_argv_internal`` in its job.c).
"""

import os
import re
from collections.abc import Mapping, Sequence

#: Characters without a meaning for bash, including the blanks between words.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./ \t-]+")
#: The output of ``compgen -b`` and ``compgen -k`` in bash 5.3, plus names from other versions.
_BUILTINS = (
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare"
    " dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill"
    " let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt"
    " source suspend test times trap true type typeset ulimit umask unalias unset wait"
)
_KEYWORDS = "if then else elif fi case esac for select while until do done in function time coproc"
_BASH_WORDS = frozenset(f"{_BUILTINS} {_KEYWORDS}".split())
#: Variables that change what bash does or passes on. If one of them is set, bash runs the command.
_BASH_VARIABLES = frozenset(("OLDPWD", "SHELLOPTS", "POSIXLY_CORRECT", "_", "SHLVL", "PWD"))
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Paths of bash. The rule of this module does not hold for other shells.
_SHELLS = frozenset(("/bin/bash", "/usr/bin/bash"))


def direct_words(argv: Sequence[str], env: Mapping[str, str]) -> Sequence[str]:
    """Return the words of a ``bash -c`` command that needs no shell; empty if bash must run it."""
    if len(argv) != 3 or (argv[:2] != ["bash", "-c"] and argv[:2] != ("bash", "-c")):
        return ()
    command = argv[2]
    if not _PLAIN.fullmatch(command) or any(map(_matters_to_bash, env)):
        return ()
    words = command.split()
    # Bash is needed if the first word is an assignment, a background job of bash such as ``%1``, a
    # builtin, or a keyword.
    if not words or "=" in words[0] or words[0].startswith("%") or words[0] in _BASH_WORDS:
        return ()
    return words


def _matters_to_bash(name: str) -> bool:
    return name in _BASH_VARIABLES or name.startswith("BASH") or not _VARIABLE_NAME.fullmatch(name)


def is_bash(path: str) -> bool:
    return path in _SHELLS


def bash_environment(env: Mapping[str, str], program: str) -> Mapping[str, str]:
    """Return the environment in which bash would run ``program``."""
    return {**env, "PWD": os.getcwd(), "SHLVL": "0", "_": program}
