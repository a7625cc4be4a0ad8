"""Finds the project's own scripts and make targets that a command runs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from itertools import pairwise
from posixpath import join, normpath
from typing import Any

from orchestrator.core.gates.gate import GateFiles
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.json_values import object_in
from orchestrator.gates.detect.always_succeeding import SHELLS, always_succeeds

#: Maximum number of words in a text that are checked for the path of an existing file.
_MOST_LOOKS = 20
#: Maximum number of scripts whose text is searched for calls of further scripts.
_MOST_READ = 5
_SHEBANG = re.compile(r"#!.*\b(?:ba|da|z)?sh\b")
#: Separators between commands of a shell or a makefile.
_SEPARATORS = re.compile(r"[;&|(){}`\n]+")
#: Matches an assignment: ``NAME=value`` before a command, or in a makefile.
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
#: Matches interpreter options that are followed by program text or a module's name, not by a file.
_NO_FILE = re.compile(r"--.*|-[a-z]*[cmep]")
_WORD = re.compile(r"[\w./-]+")
#: Matches the beginning of a call of a shell with commands as text, such as ``bash -ec '``.
_TEXT_FOLLOWS = re.compile(r"(?<![\w-])(?:ba|da|z|k)?sh(?: +-[\w-]+| +pipefail)* +-[a-z]*c +['\"]?")


def scripts_in(text: str, files: GateFiles) -> tuple[str, ...]:
    """Return the project's files that ``text`` runs, as patterns: ``/`` and the file's path.

    ``text``: commands, or recipes of a makefile. Files that are only operands of a command are
    omitted.
    """
    paths = dict.fromkeys(_existing_files(text, files))
    for path in [each for each in paths if is_shell(each, files)][:_MOST_READ]:
        paths.update(dict.fromkeys(_existing_files(files.read(path), files)))
    return tuple(f"/{path}" for path in paths)


def is_shell(path: str, files: GateFiles) -> bool:
    """True if the file is a shell script: by the end of its name, or by its ``#!`` line."""
    return path.endswith((".sh", ".bash")) or bool(_SHEBANG.match(files.read(path)))


def _programs(text: str) -> Iterator[str]:
    """Yield the possible paths of the programs, scripts, and Python modules that ``text`` runs.

    After a command such as ``cd web``, each path is also yielded below ``web``.
    """
    directory = ""
    for command in _SEPARATORS.split(_TEXT_FOLLOWS.sub(";", text)):
        words = command.split()
        while words and (words[0].lstrip("@+-") in _BEFORE or _ASSIGNMENT.match(words[0])):
            del words[0]
        if len(words) > 1 and words[1] in {"=", ":=", "?=", "+="}:
            del words[:2]
        words = [each.strip("'\"") for each in words]
        program = words[0].lstrip("@+-") if words else ""
        if program == "cd" and len(words) == 2:
            directory = normpath(join(directory, words[1]))
            continue
        programs = [program]
        if _INTERPRETERS.fullmatch(program):
            programs = [_first_operand(words[1:]), *_module_files(words[1:])]
        for each in programs:
            if _WORD.fullmatch(each):
                yield each
                yield normpath(join(directory, each))


def _module_files(words: Sequence[str]) -> Iterator[str]:
    """Yield the possible files of the module that ``python -m`` runs. ``words``: the arguments."""
    for option, module in pairwise(words):
        if option == "-m":
            path = module.replace(".", "/")
            yield from (f"{path}.py", f"{path}/__main__.py")


def _first_operand(words: list[str]) -> str:
    for word in words:
        if _NO_FILE.fullmatch(word):
            return ""
        if not word.startswith("-"):
            return word
    return ""


def _existing_files(text: str, files: GateFiles) -> Iterator[str]:
    top, words = files.names(), dict.fromkeys(each.removeprefix("./") for each in _programs(text))
    # A word is no path if its first part is not in the top directory.
    likely = [word for word in words if word.split("/")[0] in top]
    yield from (word for word in likely[:_MOST_LOOKS] if files.read(word))


PACKAGE = "package.json"
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
#: Matches a line that includes another makefile. That makefile may add commands to any target.
_INCLUDES = re.compile(r"^(?:-|s)?include\b", re.MULTILINE)
_MAKE = re.compile(r"\$(?:\(MAKE\)|\{MAKE\})")
#: Options of npm and make that do not change which commands run.
_PLAIN = frozenset({"-s", "--silent", "-k", "-q", "--quiet", "--no-print-directory"})
_NPM = frozenset({"npm", "pnpm", "yarn"})
#: Option of npm and pnpm: a script that does not exist counts as successful.
_IF_PRESENT = "--if-present"
_RUN = frozenset({"run", "run-script"})
_TESTS = frozenset({"test", "t"})


class ScriptAnalyzer:
    """Detects commands that can never fail, such as ``true``.

    If a command runs a script or make target of the project, the commands of this script or target
    are checked, too. An unknown script or target counts as a command that can fail.
    """

    def __init__(self, files: GateFiles) -> None:
        self._files = files
        #: {call: True if the call always succeeds}. While a call is checked, its value is True. So
        #: the check of a script that calls itself ends.
        self._verdicts: dict[str, bool] = {}

    def always_succeed(self, text: str) -> bool:
        return always_succeeds(_MAKE.sub("make", text), self._called)

    def _called(self, words: Sequence[str]) -> bool:
        command = [each for each in words if each not in _PLAIN]
        if command[0] in _NPM:
            npm_command = [each for each in command if each != _IF_PRESENT or command[0] == "yarn"]
            script = _script_called(npm_command)
            is_absent = bool(script) and not isinstance(self._scripts().get(script), str)
            if len(npm_command) < len(command) and is_absent:
                return True
            return self._succeeds("npm", script, self._script_texts)
        if command[0] == "make":
            has_file = command[1:2] == ["-f"] and len(command) > 2
            makefile = command[2] if has_file else self._makefile()
            targets = command[3:] if has_file else command[1:]
            texts = partial(self._target_texts, makefile)
            return len(targets) == 1 and self._succeeds(f"make {makefile}", targets[0], texts)
        path = command[1] if command[0] in SHELLS and len(command) == 2 else command[0]
        is_file = len(command) == 1 or path is not command[0]
        path = path.removeprefix("./")
        if is_file and path.split("/")[0] in self._files.names() and is_shell(path, self._files):
            return self._succeeds("file", path, self._file_texts)
        return False

    def _succeeds(self, kind: str, name: str, texts: Callable[[str], Sequence[str] | None]) -> bool:
        """True if all commands of the script or target ``name`` always succeed.

        ``kind``: npm, make, or file. ``texts`` returns the commands of ``name``, or None if the
        commands are unknown.
        """
        key = f"{kind} {name}"
        if key not in self._verdicts:
            self._verdicts[key] = True
            commands = texts(name)
            verdict = commands is not None and all(map(self.always_succeed, commands))
            self._verdicts[key] = verdict
        return self._verdicts[key]

    def _file_texts(self, path: str) -> Sequence[str] | None:
        return [self._files.read(path)] if self._files.read(path) else None

    def _script_texts(self, name: str) -> Sequence[str] | None:
        scripts = self._scripts()
        return list(texts_of(scripts, name)) if isinstance(scripts.get(name), str) else None

    def _scripts(self) -> Mapping[str, Any]:
        return mapping(package_of(self._files), "scripts")

    def _makefile(self) -> str:
        return next((each for each in MAKEFILES if each in self._files.names()), "")

    def _target_texts(self, makefile: str, name: str) -> Sequence[str] | None:
        text = self._files.read(makefile)
        rules = rules_of(text)
        return None if _INCLUDES.search(text) else recipes_of(name, rules)


def _script_called(words: Sequence[str]) -> str:
    """Return the name of the script that a command such as ``yarn unit`` runs; "" if unknown."""
    operands = [each for each in words[1:] if each not in _RUN]
    if len(operands) != 1 or len(words) > 3:
        return ""
    # A command such as "npm ci" runs no script.
    is_named = len(words) == 3 or words[0] != "npm" or operands[0] in _TESTS
    name = "test" if operands[0] == "t" else operands[0]
    return name if is_named else ""


def package_of(files: GateFiles) -> Mapping[str, Any]:
    return object_in(files.read(PACKAGE).removeprefix("\ufeff"))


def mapping(package: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = package.get(name)
    return value if isinstance(value, dict) else {}


def texts_of(scripts: Mapping[str, Any], script: str) -> Iterator[str]:
    """Yield the text of a script, and of the scripts that npm runs before and after the script."""
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
    current_rules: list[Rule] = []
    for line in makefile.replace("\\\n", " ").splitlines():
        names, colon, definition = line.partition("#")[0].partition(":")
        is_variable = "=" in names or definition.lstrip(":").startswith("=")
        if line.startswith("\t"):
            for rule in current_rules:
                rule.recipe.append(_recipe(line))
        elif colon and not is_variable and not line[:1].isspace():
            needs, _, command = definition.lstrip(":").partition(";")
            current_rules = [rules.setdefault(name, Rule()) for name in names.split()]
            for rule in current_rules:
                rule.needs.extend(each for each in needs.split() if each != "|")
                rule.recipe.append(_recipe(command))
    return rules


def _recipe(line: str) -> str:
    """Return the command in a line of a recipe, without prefixes such as ``@``.

    Return ``true`` for a line with the prefix ``-``, because make ignores a failure of this line.
    """
    command = line.lstrip("\t @+-")
    return "true" if "-" in line.removesuffix(command) else command


def recipes_of(target: str, rules: Mapping[str, Rule]) -> list[str] | None:
    """Return the recipes of a make target and of its prerequisites.

    Return None if one of these targets has no rule.
    """
    remaining, seen, recipes = [target], {target}, list[str]()
    while remaining:
        rule = rules.get(remaining.pop())
        if rule is None:
            return None
        recipes += rule.recipe
        remaining += [each for each in dict.fromkeys(rule.needs) if each not in seen]
        seen.update(rule.needs)
    return recipes


def is_constant_target(target: str, makefile: str, files: GateFiles) -> bool:
    """True if all commands of the make target are known, and always succeed."""
    recipes = None if _INCLUDES.search(makefile) else recipes_of(target, rules_of(makefile))
    analyzer = ScriptAnalyzer(files)
    return recipes is not None and all(map(analyzer.always_succeed, recipes))
