"""Serves the REST API, the docs and the dashboard: ``python api_server.py``, with any Python 3."""

import os
import sys

FILE = os.path.realpath(__file__)
FOLDER = os.path.dirname(FILE)
PYTHON = os.path.join(FOLDER, ".venv", "bin", "python")


def main() -> None:
    has_own = os.access(PYTHON, os.X_OK)
    if has_own and os.path.abspath(sys.executable) != PYTHON:
        os.execv(PYTHON, [PYTHON, FILE, *sys.argv[1:]])
    if sys.version_info < (3, 11):  # noqa: UP036 - a .venv made by hand may hold any
        if has_own:
            sys.exit("api_server.py: .venv holds a Python below 3.11; remove it, run ./install.sh")
        sys.exit("api_server.py: no .venv (of Python 3.11+) yet; run ./install.sh in " + FOLDER)
    sys.argv.insert(1, "serve")
    from orchestrator.__main__ import main as main_command

    main_command()


if __name__ == "__main__":
    main()
