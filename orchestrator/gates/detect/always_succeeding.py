"""Detects commands that always succeed. A gate with such a command rejects no change."""

import re
import shlex
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from functools import partial

#: Commands that always succeed.
_CONSTANT = frozenset({"true", ":", "echo", "set"})
#: Calls that succeed without these arguments. With arguments, they may fail.
_CONSTANT_CALLS = (["exit"], ["exit", "0"], ["wait"])
#: Commands that always succeed at the end of a pipe, whatever the commands before them do.
_FILTERS = frozenset({"cat", "head", "tail", "tee"})
#: Options with which the program ``make`` only prints its commands.
_DRY_RUN = frozenset({"-n", "--dry-run", "--just-print", "--recon"})
#: Commands of the shell that judge no file of the project.
_NO_PROGRAMS = frozenset({"cd", "export", "set"})
_PYTEST = frozenset({"pytest", "py.test"})
#: Options with which pytest only lists the tests.
_COLLECT_ONLY = frozenset({"--co", "--collect-only"})
#: Option with which linters, such as ruff, flake8, and pylint, succeed in spite of findings.
_EXIT_ZERO = "--exit-zero"
#: Words that let any command of a script, not only the last command, decide the exit code.
_MAY_END = frozenset(
    {"exit", "return", "set", "trap", "exec", "eval", "source", ".", "if", "case", "for", "while"}
    | {"until", "{", "}"}
)
#: Commands after which the shell runs no other command.
_ENDS = frozenset({"exit", "exec", "return"})
_NEXT, _BACKGROUND = ";", "&"
_OR, _AND = "||", "&&"
#: Matches texts that are not analyzed, and so count as texts that may fail. Such a text has an
#: expansion that fails for an unset variable (``:?``), or a "#" that begins no comment.
_NOT_JUDGED = re.compile(r":\?|\$\{\w+\?|\S#")
_PIPES = frozenset({"|", "|&"})
_OPERATORS = frozenset({_NEXT, _BACKGROUND, *_PIPES, _OR, _AND})
_REDIRECTS = frozenset({">", ">>", "<", "&>", ">&"})
#: Splits operators that include a parenthesis, such as ``)||(`` and ``&)``.
_PARENTHESES = re.compile(r"(?<=\))|(?<=[;&|])(?=[()]$)")
#: Operators that include a parenthesis.
_WITH_PARENTHESIS = re.compile(r"\).*|.*\(|[;&|]+\)")
SHELLS = frozenset({"bash", "sh", "dash", "zsh"})
#: Matches a shell of the system. A program of the project with the same name does not match.
_SHELL = re.compile(rf"(?:(?:/usr)?/bin/)?(?:{'|'.join(sorted(SHELLS))})")
_ENV = frozenset({"env", "/bin/env", "/usr/bin/env"})
#: Programs that run the command after them.
_WRAPPERS = frozenset({"time", "nice"})
#: Options of the program ``timeout`` that are followed by a value.
_TIMEOUT_VALUES = frozenset({"-k", "--kill-after", "-s", "--signal"})
_DURATION = re.compile(r"\d+(?:\.\d+)?[smhd]?")
_VARIABLE = re.compile(r"(\w+)=.*", re.DOTALL)
#: Variables with which a shell runs more commands, or stops at the first failure.
_CHANGE_SHELLS = frozenset({"BASH_ENV", "ENV", "SHELLOPTS", "ZDOTDIR"})
#: Options of a shell that do not change which commands run.
_NEUTRAL = frozenset({"--login", "--noprofile", "--norc", "--posix"})
#: Single-letter options of a shell whose effects are known here.
_LETTERS = re.compile(r"-[ceiloux]+")
#: Matches a script in which an unset variable is an error.
_IS_UNSET_ERROR = re.compile(r"\bset\b[^;&|]*(?:-\w*u|nounset)")
#: Takes the words of a command. Returns True if the command only runs scripts that always succeed,
#: and False if it runs no script or an unknown script.
Called = Callable[[Sequence[str]], bool]


def always_succeeds(text: str, called: Called) -> bool:
    """True if the commands in ``text`` always succeed. A gate with such a text rejects no change.

    Examples: ``true``, ``exit 0``, ``echo``, ``pytest || true``, ``pytest | tail``, ``pytest &``,
    ``make -n``, ``ruff check --exit-zero``, and ``bash -c "pytest || true"``. Return False if the
    text cannot be split into commands. ``called``: see Called.
    """
    return _always_succeeds(text, called, stops=False)


def _always_succeeds(text: str, called: Called, *, stops: bool) -> bool:
    """True if the commands always succeed. ``stops``: True if the shell exits at a failure."""
    if _NOT_JUDGED.search(text) or ("$" in text and _IS_UNSET_ERROR.search(text)):
        return False
    try:
        lines = [_words(line) for line in text.splitlines()]
    except ValueError:
        return False
    any_decides = stops or text.startswith("#!") or any(map(_has_end, lines))
    follow = partial(_runs_nothing, text, called)
    return all(_succeeds(line, follow, any_decides=any_decides) for line in lines)


def collecting_option(text: str) -> str:
    """Return the option with which pytest only lists the tests, such as ``--co``.

    Return "" if the commands in ``text`` also run another program, or if pytest runs its tests.
    """
    try:
        commands = [each for line in text.splitlines() for each in _split(_words(line), _OPERATORS)]
    except ValueError:
        return ""
    calls = [each for each in commands if each and each[0] not in _NO_PROGRAMS]
    options = [_collecting_option(each) for each in calls]
    return options[0] if options and all(options) else ""


def _collecting_option(words: Sequence[str]) -> str:
    is_pytest = any(word.rpartition("/")[2] in _PYTEST for word in words)
    return next((word for word in words if word in _COLLECT_ONLY), "") if is_pytest else ""


def _words(line: str) -> list[str]:
    """Return the words and operators of a line, without quotes.

    Raise ValueError if a quote is not closed.
    """
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    # Split only at white space, so that "PATH=/bin:$PATH" is one word.
    words.whitespace_split = True
    return list(words)


def _has_end(line: Sequence[str]) -> bool:
    """True if the line has a word of _MAY_END.

    With such a word, any command of the script may decide the exit code, not only the last command.
    The command ``exit 0`` does not count, because it always succeeds.
    """
    return any(word in _MAY_END and (word, value) != ("exit", "0") for word, value in _pairs(line))


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word with the next word; "" after the last word."""
    return zip(words, (*words[1:], ""), strict=True)


def _runs_nothing(text: str, called: Called, words: Sequence[str]) -> bool:
    """True if the command ``words`` only runs a script that always succeeds.

    The script is the argument of ``bash -c``, or a script of the project. ``text``: the whole text
    that contains the command.
    """
    command, variables = _wrapped(words), set[str]()
    while command and (command[0] in _ENV or _VARIABLE.fullmatch(command[0])):
        variables.add(command.pop(0).partition("=")[0])
        command = _wrapped(command)
    if not command or variables & _CHANGE_SHELLS:
        return False
    if len(command) < len(words) and _is_constant(command, lambda words: False):
        return True
    call = _shell_script(command)
    if call is None:
        return called(command)
    script, options = call
    if "pipefail" in " ".join((script, *options)) and not command[0].endswith(("bash", "zsh")):
        return False  # Other shells may not have this option.
    expands = "$" in script or "`" in script
    # Without single quotes, the calling shell expands "$" and "`", so the script is unknown here.
    if expands and (f"'{script}'" not in text or "nounset" in options):
        return False
    return _always_succeeds(script, called, stops=bool({"errexit", "pipefail"} & {*options}))


def _wrapped(words: Sequence[str]) -> list[str]:
    """Return the command that ``time``, ``nice``, or ``timeout 60`` runs.

    Return all other commands unchanged. A command under ``timeout`` also fails if the time expires.
    This failure does not count here, because it says nothing about the change.
    """
    command = list(words)
    while command and command[0] in _WRAPPERS:
        command.pop(0)
    if not command or command[0] != "timeout":
        return command
    index = 1
    while index < len(command) and command[index].startswith("-"):
        index += 2 if command[index] in _TIMEOUT_VALUES else 1
    has_command = len(command) > index + 1 and _DURATION.fullmatch(command[index])
    return _wrapped(command[index + 1 :]) if has_command else command


def _shell_script(words: Sequence[str]) -> tuple[str, Collection[str]] | None:
    """Return the text after ``-c`` of a shell, and the shell's options.

    Return None if the command is no shell with ``-c``, or if an option is unknown.
    """
    if not _SHELL.fullmatch(words[0]):
        return None
    options, remaining = set[str](), iter(words[1:])
    for word in remaining:
        if _LETTERS.fullmatch(word):
            names = {"c": "c", "e": "errexit", "u": "nounset"}
            options |= {names[letter] for letter in word if letter in names}
            if "o" in word:
                options.add(next(remaining, ""))
        elif word == "--" or not word.startswith(("-", "+")):
            script = next(remaining, None) if word == "--" else word
            return None if script is None or "c" not in options else (script, options)
        elif word not in _NEUTRAL:
            return None
    return None


def _succeeds(line: Sequence[str], called: Called, *, any_decides: bool) -> bool:
    """True if a line of commands always succeeds.

    ``any_decides``: True if any failed command of the line may decide the exit code. Otherwise,
    only the last command of each sequence or pipe decides.
    """
    plain = _without_subshells(line, called, any_decides=any_decides)
    if {"(", ")", "!"} & {*plain}:
        return False
    sequence = list(_sequence(plain))
    return all(
        _list_succeeds(each, called, any_decides=any_decides)
        for each in (sequence if any_decides else sequence[-1:])
    )


def _without_subshells(line: Sequence[str], called: Called, *, any_decides: bool) -> list[str]:
    """Return the words, with each subshell replaced by the command ``true`` or ``false``.

    ``true`` replaces a subshell that always succeeds; ``false`` replaces a subshell that may fail.
    The parentheses of ``$(...)`` and of functions stay.
    """
    words = [
        part
        for word in line
        for part in (_PARENTHESES.split(word) if _WITH_PARENTHESIS.fullmatch(word) else [word])
        if part or not word
    ]
    while ")" in words:
        end = words.index(")")
        begin = max(
            (position for position, word in enumerate(words[:end]) if word == "("), default=-1
        )
        next_words = words[end + 1 : end + 2]
        is_command = begin == 0 or (begin > 0 and words[begin - 1] in _OPERATORS)
        if not is_command or not all(
            each in _OPERATORS or each in _REDIRECTS for each in next_words
        ):
            break
        inner = words[begin + 1 : end]
        succeeds = bool(inner) and _succeeds(inner, called, any_decides=any_decides)
        words[begin : end + 1] = ["true" if succeeds else "false"]
    return words


def _sequence(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lists of commands that ``;`` and ``&`` separate.

    Yield ``true`` in place of a list that ``&`` puts into the background, because its exit code
    decides nothing.
    """
    part: list[str] = []
    for word in (*words, _NEXT):
        if word not in (_NEXT, _BACKGROUND):
            part.append(word)
            continue
        if part:
            yield part if word == _NEXT else ["true"]
        part = []


def _list_succeeds(words: Sequence[str], called: Called, *, any_decides: bool) -> bool:
    """True if a list of pipes, joined by ``&&`` and ``||``, always succeeds.

    The shell evaluates the list from left to right.
    """
    operators = [word for word in words if word in (_OR, _AND)]
    pipes = list(_split(words, {_OR, _AND}))
    succeeds, *later = (_pipe_succeeds(each, called, any_decides=any_decides) for each in pipes)
    if any(word in _ENDS and value != "0" for word, value in _pairs(words)):
        # The shell exits at this word, so a later command such as "|| true" has no effect.
        return succeeds and all(later)
    for operator, each in zip(operators, later, strict=True):
        succeeds = succeeds or each if operator == _OR else succeeds and each
    return succeeds


def _pipe_succeeds(words: Sequence[str], called: Called, *, any_decides: bool) -> bool:
    commands = list(_split(words, _PIPES))
    if any_decides:
        return all(_is_constant(each, called) for each in commands)
    last = commands[-1]
    is_filter = len(commands) > 1 and bool(last) and last[0] in _FILTERS
    return is_filter or _is_constant(last, called)


def _split(words: Sequence[str], operators: Container[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in operators:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _is_constant(words: list[str], called: Called) -> bool:
    if not words or words[0] in _CONSTANT or words in _CONSTANT_CALLS:
        return True
    if _EXIT_ZERO in words or (words[0] == "make" and _DRY_RUN & {*words}):
        return True
    return called(words)
