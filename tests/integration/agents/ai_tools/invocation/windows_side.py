"""A stand-in for powershell.exe. It runs a script as Windows does.

It accepts only Windows paths, and passes on only the variables that WSLENV names.
"""

import base64
import os
import re
import subprocess
import sys

PREFIX = "\\\\wsl.localhost\\Test"
WORD = r"'((?:[^']|'')*)'"


def linux_path(path: str) -> str:
    """Return the path on this machine for a Windows path."""
    assert path.startswith(PREFIX), f"{path} is no Windows path"
    return path.removeprefix(PREFIX).replace("\\", "/")


def windows_path(path: str) -> str:
    return PREFIX + path.replace("/", "\\")


def environment() -> dict[str, str]:
    variables = {"PATH": "/usr/bin:/bin"}
    for each in os.environ["WSLENV"].split(":"):
        name, _, flags = each.partition("/")
        value = os.environ[name]
        variables[name] = windows_path(value) if "p" in flags else value
    return variables


def as_program_sees(words: list[str]) -> list[str]:
    """Return the arguments as Windows PowerShell 5.1 passes them to a program's ``argv``."""
    return split_command_line(
        " ".join(f'"{each}"' if has_bare_blank(each) else each for each in words)
    )


def has_bare_blank(word: str) -> bool:
    """True if PowerShell puts the argument into quotation marks; it changes nothing else."""
    marks, before = 0, ""
    for each in word:
        if each == '"' and before != "\\":
            marks += 1
        elif each.isspace() and marks % 2 == 0:
            return True
        before = each
    return False


def split_command_line(line: str) -> list[str]:
    """Split a command line as the C runtime of Windows does."""
    words, word, inside, at = [], "", False, 0
    begun = False
    while at < len(line):
        backslashes = len(line[at:]) - len(line[at:].lstrip("\\"))
        at += backslashes
        each = line[at : at + 1]
        at += 1
        if each == '"':
            word += "\\" * (backslashes // 2)
            if backslashes % 2:
                word += each
            else:
                inside = not inside
            begun = True
            continue
        word += "\\" * backslashes
        begun |= bool(backslashes)
        if each in (" ", "\t") and not inside:
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + each, begun or bool(each)
    return [*words, word] if begun else words


def main() -> int:
    options, encoded = sys.argv[1:-1], sys.argv[-1]
    assert options[-1] == "-EncodedCommand" and "-NoProfile" in options, options
    script = base64.b64decode(encoded).decode("utf-16-le")
    directory = re.search(rf"Set-Location -LiteralPath {WORD}", script)
    prompt = re.search(rf"Get-Content -Raw -Encoding UTF8 -LiteralPath {WORD} \| & ", script)
    command = re.search(r"\| & (.*)", script)
    assert directory and prompt and command, script
    words = as_program_sees([each.replace("''", "'") for each in re.findall(WORD, command[1])])
    with open(linux_path(prompt[1])) as text:
        return subprocess.run(
            [os.environ["WINDOWS_PROGRAM"], *words[1:]],
            cwd=linux_path(directory[1]),
            stdin=text,
            env=environment(),
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
