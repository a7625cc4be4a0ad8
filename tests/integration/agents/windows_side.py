"""Stands in for powershell.exe: carries out what is said to it as Windows would.

It knows paths by their names on Windows only, and variables by what WSLENV says of them.
"""

import base64
import os
import re
import subprocess
import sys

PREFIX = "\\\\wsl.localhost\\Test"
_WORD = r"'((?:[^']|'')*)'"


def here(path: str) -> str:
    """The path on this machine of one that Windows knows."""
    assert path.startswith(PREFIX), f"{path} is no path of Windows"
    return path.removeprefix(PREFIX).replace("\\", "/")


def there(path: str) -> str:
    return PREFIX + path.replace("/", "\\")


def environment() -> dict[str, str]:
    given = {"PATH": "/usr/bin:/bin"}
    for each in os.environ["WSLENV"].split(":"):
        name, _, flags = each.partition("/")
        value = os.environ[name]
        given[name] = there(value) if "p" in flags else value
    return given


def main() -> int:
    options, encoded = sys.argv[1:-1], sys.argv[-1]
    assert options[-1] == "-EncodedCommand" and "-NoProfile" in options, options
    script = base64.b64decode(encoded).decode("utf-16-le")
    directory = re.search(rf"Set-Location -LiteralPath {_WORD}", script)
    prompt = re.search(rf"Get-Content -Raw -Encoding UTF8 -LiteralPath {_WORD} \| & ", script)
    command = re.search(r"\| & (.*)", script)
    assert directory and prompt and command, script
    words = [each.replace("''", "'") for each in re.findall(_WORD, command[1])]
    with open(here(prompt[1])) as text:
        return subprocess.run(
            [os.environ["WINDOWS_PROGRAM"], *words[1:]],
            cwd=here(directory[1]),
            stdin=text,
            env=environment(),
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
