"""Scripts of the project that a command runs, and commands that pass on any change."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence

from orchestrator.core.model.gate import GateFiles

#: Maximum number of paths that are checked.
_MOST_LOOKS = 20
#: Maximum number of scripts that are searched for further scripts.
_MOST_READ = 5
_SHEBANG = re.compile(r"#!.*\b(?:ba|da|z)?sh\b")
#: Separators between two commands of a shell or a makefile.
_SEPARATORS = re.compile(r"[;&|(){}`\n]+")
#: ``NAME=value`` before a command, and a variable of a makefile.
_ASSIGNMENT = re.compile(r"\s*[\w.-]+\s*[:+?]?=")
#: Words before the name of a program.
_BEFORE = frozenset(
    {"exec", "env", "time", "nice", "source", ".", "sudo", "command", "!", "if", "then", "do"}
    | {"else", "while", "until", "run", "uv", "poetry", "pdm", "pipenv", "hatch", "npx"}
)
#: Programs whose first operand is the program.
_INTERPRETERS = re.compile(
    r"(?:.*/)?(?:(?:ba|da|z|k)?sh|python[\d.]*|node|ruby|perl|php|deno|bun|tsx|ts-node)"
)
#: Interpreter options with the program's text or a module's name instead of a file.
_NO_FILE = re.compile(r"--.*|-[a-z]*[cmep]")
_WORD = re.compile(r"[\w./-]+")
#: Commands that pass whatever the change is.
_CONSTANT = frozenset({"true", ":", "echo", "set"})
_SHELL_OPERATOR = re.compile(r"[;&|]+")


#: Returns the commands that a command runs in turn, by its words; None: unknown.
Called = Callable[[Sequence[str]], Sequence[str] | None]


def judges_nothing(text: str, called: Called = lambda words: None) -> bool:
    """True for commands that pass on any change: ``true``, ``:``, ``exit 0`` and ``echo`` only, or
    commands that run nothing else.

    False if the text cannot be split into commands.
    """
    try:
        commands = [each for line in text.splitlines() for each in _split(line)]
    except ValueError:
        return False
    return all(_is_constant(each, called) for each in commands)


def _split(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in shlex.shlex(line, posix=True, punctuation_chars=True):
        if _SHELL_OPERATOR.fullmatch(word):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def _is_constant(words: list[str], called: Called) -> bool:
    if {"(", ")"} & {*words}:
        return False
    if not words or words[0] in _CONSTANT or words in (["exit"], ["exit", "0"]):
        return True
    texts = called(words)
    return texts is not None and all(judges_nothing(each, called) for each in texts)


def scripts_in(text: str, files: GateFiles) -> tuple[str, ...]:
    """Return patterns of the files that commands, or a makefile's recipes, run; operands are
    excluded.
    """
    found = dict.fromkeys(_existing(text, files))
    for path in [each for each in found if is_shell(each, files)][:_MOST_READ]:
        found.update(dict.fromkeys(_existing(files.read(path), files)))
    return tuple(f"/{path}" for path in found)


def is_shell(path: str, files: GateFiles) -> bool:
    """True for a shell script, whose text shows the commands that it runs."""
    return path.endswith((".sh", ".bash")) or bool(_SHEBANG.match(files.read(path)))


def _programs(text: str) -> Iterator[str]:
    for command in _SEPARATORS.split(text):
        words = command.split()
        while words and (words[0].lstrip("@+-") in _BEFORE or _ASSIGNMENT.match(words[0])):
            del words[0]
        if len(words) > 1 and words[1] in {"=", ":=", "?=", "+="}:
            del words[:2]
        program = words[0].lstrip("@+-") if words else ""
        if _INTERPRETERS.fullmatch(program):
            program = _operand(words[1:])
        if _WORD.fullmatch(program):
            yield program


def _operand(words: list[str]) -> str:
    for word in words:
        if _NO_FILE.fullmatch(word):
            return ""
        if not word.startswith("-"):
            return word
    return ""


def _existing(text: str, files: GateFiles) -> Iterator[str]:
    top, words = files.names(), dict.fromkeys(each.removeprefix("./") for each in _programs(text))
    # A word whose first directory is not at the top names no file.
    likely = [word for word in words if word.split("/")[0] in top]
    yield from (word for word in likely[:_MOST_LOOKS] if files.read(word))
