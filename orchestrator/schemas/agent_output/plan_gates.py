"""Gate commands in a plan that an agent made.

Text that the agent has read may influence its plan, so only plain calls of checking programs are
run: no shell syntax, no variables, no other program.
"""

import re
import shlex
from collections.abc import Iterator, Sequence

from orchestrator.core.model.gate import Gate, GateSource

#: First words of commands that only check.
_CHECKS: tuple[tuple[str, ...], ...] = (
    ("pytest",),
    ("python", "-m", "pytest"),
    ("python3", "-m", "pytest"),
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("npm", "test"),
    ("npm", "run", "test"),
    ("npm", "run", "lint"),
    ("npm", "run", "typecheck"),
    ("cargo", "test"),
    ("cargo", "clippy"),
    ("go", "test"),
    ("go", "vet"),
    ("make", "check"),
    ("make", "test"),
)
#: Options that only change the amount of output or the strictness of a check.
_OPTIONS = re.compile(
    r"-(?:q|qq|v|vv|x|race|short|count=\d{1,4})|"
    r"--(?:quiet|verbose|exitfirst|maxfail=\d{1,4}|strict|workspace|all|all-features|all-targets|"
    r"locked|release|lib|check)"
)
#: A command without quotes, variables, globs, and redirections, and without a path out of the
#: worktree.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ./:,=\[\]@+-]{0,300}")
MOST_GATES = 10


def planned_gates(words: Sequence[str]) -> tuple[Gate, ...]:
    """Return gates for the texts that are commands; the gates must pass."""
    found = {each.run: each for each in _gates(words)}
    return tuple(found.values())[:MOST_GATES]


def _gates(words: Sequence[str]) -> Iterator[Gate]:
    for text in words:
        command = _command_in(text)
        if command:
            name = re.sub(r"[^A-Za-z0-9]+", "-", command).strip("-").lower()[:40].strip("-")
            yield Gate(
                name=f"planned-{name}",
                run=command,
                timeout=600.0,
                new_only=False,
                source=GateSource.PLANNED,
                why="the plan asks for it",
                program=command.split(" ")[0],
            )


def _command_in(text: str) -> str:
    """Return the whole text, or a text between backticks in it; empty for a sentence."""
    quoted = re.findall(r"`([^`]+)`", text)
    candidates = quoted if len(quoted) == 1 else [text]
    command = candidates[0].strip()
    return command if _is_safe(command) else ""


def _is_safe(command: str) -> bool:
    if not _PLAIN.fullmatch(command):
        return False
    words = tuple(shlex.split(command))
    if not any(words[: len(each)] == each for each in _CHECKS):
        return False
    program = next(each for each in _CHECKS if words[: len(each)] == each)
    rest = words[len(program) :]
    return all(_is_safe_argument(each) for each in rest)


def _is_safe_argument(word: str) -> bool:
    """True for a relative path inside the project, or an option; False for a word of a
    sentence.
    """
    if word.startswith("-"):
        return _OPTIONS.fullmatch(word) is not None
    inside = not word.startswith("/") and ".." not in word.split("/")
    return inside and "=" not in word and any(sign in word for sign in "./:_")
