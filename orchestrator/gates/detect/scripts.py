"""Finds the project's scripts that a command runs, and detects commands that always succeed."""

import re
import shlex
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import Any

from orchestrator.core.gates.gate import GateFiles
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.json_values import object_in

#: Maximum number of words in a text that are checked as paths.
_MOST_LOOKS = 20
#: Maximum number of scripts that are searched for further scripts.
_MOST_READ = 5
_SHEBANG = re.compile(r"#!.*\b(?:ba|da|z)?sh\b")
#: Separators between commands of a shell or a makefile.
_SEPARATORS = re.compile(r"[;&|(){}`\n]+")
#: ``NAME=value`` before a command, or a variable of a makefile.
_ASSIGNMENT = re.compile(r"\s*[\w.-]+\s*[:+?]?=")
#: Words that may precede the name of a program.
_BEFORE = frozenset(
    {"exec", "env", "time", "nice", "source", ".", "sudo", "command", "!", "if", "then", "do"}
    | {"else", "while", "until", "run", "uv", "poetry", "pdm", "pipenv", "hatch", "npx"}
)
#: Programs whose first operand is the program to run.
_INTERPRETERS = re.compile(
    r"(?:.*/)?(?:(?:ba|da|z|k)?sh|python[\d.]*|node|ruby|perl|php|deno|bun|tsx|ts-node)"
)
#: Interpreter options that are followed by the program's text or a module's name instead of a file.
_NO_FILE = re.compile(r"--.*|-[a-z]*[cmep]")
_WORD = re.compile(r"[\w./-]+")
#: The begin of a shell with a text of commands, such as ``bash -ec '``.
_TEXT_FOLLOWS = re.compile(r"(?<![\w-])(?:ba|da|z|k)?sh(?: +-[\w-]+| +pipefail)* +-[a-z]*c +['\"]?")
#: Commands that always succeed.
_CONSTANT = frozenset({"true", ":", "echo", "set"})
#: Commands that always succeed at the end of a pipe, whatever the commands before them do.
_FILTERS = frozenset({"cat", "head", "tail", "tee"})
#: Options with which make only prints the commands.
_DRY_RUN = frozenset({"-n", "--dry-run", "--just-print", "--recon"})
#: Words with which any command, not only the last, may decide the exit code.
_MAY_END = frozenset(
    {"exit", "return", "set", "trap", "exec", "eval", "source", ".", "if", "case", "for", "while"}
    | {"until", "{", "}"}
)
#: Commands after which the shell runs no other command.
_ENDS = frozenset({"exit", "exec", "return"})
_SEQUENCE = frozenset({";", "&"})
_OR, _AND = "||", "&&"
#: Marks of texts that are not analyzed: an expansion that fails if a variable is unset (``:?``),
#: and a "#" that begins no comment.
_NOT_JUDGED = re.compile(r":\?|\$\{\w+\?|\S#")
_PIPES = frozenset({"|", "|&"})
_SHELLS = frozenset({"bash", "sh", "dash", "zsh"})
#: Shells outside of the project.
_SHELL = re.compile(rf"(?:(?:/usr)?/bin/)?(?:{'|'.join(sorted(_SHELLS))})")
_ENV = frozenset({"env", "/bin/env", "/usr/bin/env"})
_VARIABLE = re.compile(r"(\w+)=.*", re.DOTALL)
#: Variables with which a shell runs more commands, or stops at the first failure.
_CHANGE_SHELLS = frozenset({"BASH_ENV", "ENV", "SHELLOPTS", "ZDOTDIR"})
#: Options of a shell that do not change which commands run.
_NEUTRAL = frozenset({"--login", "--noprofile", "--norc", "--posix"})
#: Single-letter options of a shell that can be followed.
_LETTERS = re.compile(r"-[ceiloux]+")
#: A script in which an unset variable is an error.
_IS_UNSET_ERROR = re.compile(r"\bset\b[^;&|]*(?:-\w*u|nounset)")


#: Returns True if the scripts that a command runs always succeed; False if the command runs no
#: script or an unknown script. The argument is the command's words.
Called = Callable[[Sequence[str]], bool]


def judges_nothing(text: str, called: Called) -> bool:
    """True if the commands always succeed, so that a gate with them rejects no change.

    Examples: ``true``, ``exit 0``, ``echo``, ``pytest || true``, ``pytest | tail``, ``make -n``,
    and commands that only run such commands, such as ``bash -c "pytest || true"``.
    False if the text cannot be split into commands.
    """
    return _judges_nothing(text, called, stops=False)


def _judges_nothing(text: str, called: Called, *, stops: bool) -> bool:
    """``stops``: True if the shell exits at the first command that fails."""
    if _NOT_JUDGED.search(text) or ("$" in text and _IS_UNSET_ERROR.search(text)):
        return False
    try:
        lines = [
            list(shlex.shlex(line, posix=True, punctuation_chars=True))
            for line in text.splitlines()
        ]
    except ValueError:
        return False
    may_end = stops or text.startswith("#!") or any(map(_has_end, lines))
    follow = partial(_runs_nothing, text, called)
    return all(_succeeds(line, follow, may_end=may_end) for line in lines)


def _has_end(line: Sequence[str]) -> bool:
    """True if a command before the last one may decide the exit code, except ``exit 0``."""
    return any(word in _MAY_END and (word, value) != ("exit", "0") for word, value in _pairs(line))


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word with the next word; "" after the last word."""
    return zip(words, (*words[1:], ""), strict=True)


def _runs_nothing(text: str, called: Called, words: Sequence[str]) -> bool:
    """True if what a command runs always succeeds: the text of ``bash -c``, or a script.

    ``text``: contains the command.
    """
    rest, names = list(words), set[str]()
    while rest and (rest[0] in _ENV or _VARIABLE.fullmatch(rest[0])):
        names.add(rest.pop(0).partition("=")[0])
    if not rest or names & _CHANGE_SHELLS:
        return False
    found = _shell_script(rest)
    if found is None:
        return called(rest)
    script, options = found
    if "pipefail" in " ".join((script, *options)) and not rest[0].endswith(("bash", "zsh")):
        return False  # Other shells may not have this option.
    expands = "$" in script or "`" in script
    # The calling shell has changed the script, unless single quotes protect it.
    if expands and (f"'{script}'" not in text or "nounset" in options):
        return False
    return _judges_nothing(script, called, stops=bool({"errexit", "pipefail"} & {*options}))


def _shell_script(words: Sequence[str]) -> tuple[str, Collection[str]] | None:
    """Return the text after ``-c`` of a shell, and the shell's options.

    Return None for other commands, and if an option is unknown.
    """
    if not _SHELL.fullmatch(words[0]):
        return None
    options, left = set[str](), iter(words[1:])
    for word in left:
        if _LETTERS.fullmatch(word):
            names = {"c": "c", "e": "errexit", "u": "nounset"}
            options |= {names[letter] for letter in word if letter in names}
            if "o" in word:
                options.add(next(left, ""))
        elif word == "--" or not word.startswith(("-", "+")):
            script = next(left, None) if word == "--" else word
            return None if script is None or "c" not in options else (script, options)
        elif word not in _NEUTRAL:
            return None
    return None


def _succeeds(line: Sequence[str], called: Called, *, may_end: bool) -> bool:
    """True if a line of commands always succeeds.

    ``may_end``: True if every command of the line may decide the exit code; False if only the last
    command of a sequence or pipe does.
    """
    if {"(", ")", "!"} & {*line}:
        return False
    sequence = [each for each in _split(line, _SEQUENCE) if each]
    return all(
        _list_succeeds(each, called, may_end=may_end)
        for each in (sequence if may_end else sequence[-1:])
    )


def _list_succeeds(words: Sequence[str], called: Called, *, may_end: bool) -> bool:
    """True if pipes joined by ``&&`` and ``||`` always succeed; evaluated from left to right."""
    operators = [word for word in words if word in (_OR, _AND)]
    pipes = list(_split(words, {_OR, _AND}))
    first, *rest = (_pipe_succeeds(each, called, may_end=may_end) for each in pipes)
    if any(word in _ENDS and value != "0" for word, value in _pairs(words)):
        # The shell exits there, so that a later command such as "|| true" has no effect.
        return first and all(rest)
    for operator, each in zip(operators, rest, strict=True):
        first = first or each if operator == _OR else first and each
    return first


def _pipe_succeeds(words: Sequence[str], called: Called, *, may_end: bool) -> bool:
    commands = list(_split(words, _PIPES))
    if may_end:
        return all(_is_constant(each, called) for each in commands)
    last = commands[-1]
    is_filter = len(commands) > 1 and bool(last) and last[0] in _FILTERS
    return is_filter or _is_constant(last, called)


def _split(words: Sequence[str], operators: Container[str]) -> Iterator[list[str]]:
    found: list[str] = []
    for word in words:
        if word in operators:
            yield found
            found = []
        else:
            found.append(word)
    yield found


def _is_constant(words: list[str], called: Called) -> bool:
    if not words or words[0] in _CONSTANT or words in (["exit"], ["exit", "0"]):
        return True
    if words[0] == "make" and _DRY_RUN & {*words}:
        return True
    return called(words)


def scripts_in(text: str, files: GateFiles) -> tuple[str, ...]:
    """Return patterns of the project's files that commands or makefile recipes run.

    Files that are only operands of a command are omitted.
    """
    found = dict.fromkeys(_existing(text, files))
    for path in [each for each in found if is_shell(each, files)][:_MOST_READ]:
        found.update(dict.fromkeys(_existing(files.read(path), files)))
    return tuple(f"/{path}" for path in found)


def is_shell(path: str, files: GateFiles) -> bool:
    """True for a shell script, whose text shows the commands that it runs."""
    return path.endswith((".sh", ".bash")) or bool(_SHEBANG.match(files.read(path)))


def _programs(text: str) -> Iterator[str]:
    for command in _SEPARATORS.split(_TEXT_FOLLOWS.sub(";", text)):
        words = command.split()
        while words and (words[0].lstrip("@+-") in _BEFORE or _ASSIGNMENT.match(words[0])):
            del words[0]
        if len(words) > 1 and words[1] in {"=", ":=", "?=", "+="}:
            del words[:2]
        words = [each.rstrip("'\"") for each in words]
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
    # A word is no path if its first part is not in the top directory.
    likely = [word for word in words if word.split("/")[0] in top]
    yield from (word for word in likely[:_MOST_LOOKS] if files.read(word))


PACKAGE = "package.json"
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
#: Matches a line that includes a makefile, which may add to any target.
_INCLUDES = re.compile(r"^(?:-|s)?include\b", re.MULTILINE)
_MAKE = re.compile(r"\$(?:\(MAKE\)|\{MAKE\})")
#: Options of npm and make that do not change which commands run.
_PLAIN = frozenset({"-s", "--silent", "-k", "-q", "--quiet", "--no-print-directory"})
_NPM = frozenset({"npm", "pnpm", "yarn"})
_RUN = frozenset({"run", "run-script"})
_TESTS = frozenset({"test", "t"})


class Calls:
    """Follows the scripts, make targets, and files that commands call.

    A call that cannot be followed counts as a check that may fail.
    """

    def __init__(self, files: GateFiles) -> None:
        self._files = files
        #: By call: True if the call always succeeds. Also True while the call's texts are being
        #: read.
        self._verdicts: dict[str, bool] = {}

    def judge_nothing(self, text: str) -> bool:
        return judges_nothing(_MAKE.sub("make", text), self._called)

    def _called(self, words: Sequence[str]) -> bool:
        plain = [each for each in words if each not in _PLAIN]
        if plain[0] in _NPM:
            return self._succeeds("npm", _script_called(plain), self._script)
        if plain[0] == "make" and len(plain) == 2:
            return self._succeeds("make", plain[1], self._target)
        path = plain[1] if plain[0] in _SHELLS and len(plain) == 2 else plain[0]
        is_file = len(plain) == 1 or path is not plain[0]
        path = path.removeprefix("./")
        if is_file and path.split("/")[0] in self._files.names() and is_shell(path, self._files):
            return self._succeeds("file", path, self._text)
        return False

    def _succeeds(self, kind: str, name: str, texts: Callable[[str], Sequence[str] | None]) -> bool:
        """``texts``: returns the commands of a script; None if they are unknown."""
        key = f"{kind} {name}"
        if key not in self._verdicts:
            self._verdicts[key] = True
            found = texts(name)
            verdict = found is not None and all(map(self.judge_nothing, found))
            self._verdicts[key] = verdict
        return self._verdicts[key]

    def _text(self, path: str) -> Sequence[str] | None:
        return [self._files.read(path)] if self._files.read(path) else None

    def _script(self, name: str) -> Sequence[str] | None:
        scripts = mapping(package_of(self._files), "scripts")
        return list(texts_of(scripts, name)) if isinstance(scripts.get(name), str) else None

    def _target(self, name: str) -> Sequence[str] | None:
        makefile = next((each for each in MAKEFILES if each in self._files.names()), "")
        text = self._files.read(makefile)
        rules = rules_of(text)
        return None if _INCLUDES.search(text) else recipes_of(name, rules)


def _script_called(words: Sequence[str]) -> str:
    """Return the script that a command such as ``yarn unit`` runs; "" if unknown."""
    rest = [each for each in words[1:] if each not in _RUN]
    if len(rest) != 1 or len(words) > 3:
        return ""
    # A command such as "npm ci" runs no script.
    is_named = len(words) == 3 or words[0] != "npm" or rest[0] in _TESTS
    name = "test" if rest[0] == "t" else rest[0]
    return name if is_named else ""


def package_of(files: GateFiles) -> Mapping[str, Any]:
    return object_in(files.read(PACKAGE).removeprefix("\ufeff"))


def mapping(package: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = package.get(name)
    return found if isinstance(found, dict) else {}


def texts_of(scripts: Mapping[str, Any], script: str) -> Iterator[str]:
    """Yield the text of a script, and of the scripts that npm runs before and after it."""
    for text in map(scripts.get, (f"pre{script}", script, f"post{script}")):
        if isinstance(text, str) and text.strip():
            yield text


@dataclass(frozen=True, slots=True)
class Rule:
    """The prerequisites and the recipe of a make target, collected from all rules of the target."""

    needs: list[str] = field(default_factory=list)
    recipe: list[str] = field(default_factory=list)


def rules_of(makefile: str) -> Mapping[str, Rule]:
    rules: dict[str, Rule] = {}
    present: list[Rule] = []
    for line in makefile.replace("\\\n", " ").splitlines():
        names, colon, rest = line.partition("#")[0].partition(":")
        is_variable = "=" in names or rest.lstrip(":").startswith("=")
        if line.startswith("\t"):
            for rule in present:
                rule.recipe.append(line.lstrip("\t @+-"))
        elif colon and not is_variable and not line[:1].isspace():
            needs, _, command = rest.lstrip(":").partition(";")
            present = [rules.setdefault(name, Rule()) for name in names.split()]
            for rule in present:
                rule.needs.extend(each for each in needs.split() if each != "|")
                rule.recipe.append(command.lstrip("\t @+-"))
    return rules


def recipes_of(target: str, rules: Mapping[str, Rule]) -> list[str] | None:
    """Return the recipes of a make target and of its prerequisites.

    Return None if one of these targets has no rule.
    """
    left, seen, found = [target], {target}, list[str]()
    while left:
        rule = rules.get(left.pop())
        if rule is None:
            return None
        found += rule.recipe
        left += [each for each in dict.fromkeys(rule.needs) if each not in seen]
        seen.update(rule.needs)
    return found


def is_constant_target(target: str, makefile: str, files: GateFiles) -> bool:
    """True if the make target's commands always succeed; False if this is uncertain."""
    recipes = None if _INCLUDES.search(makefile) else recipes_of(target, rules_of(makefile))
    calls = Calls(files)
    return recipes is not None and all(map(calls.judge_nothing, recipes))
