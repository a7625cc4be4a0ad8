"""Writes the API key of a new installation into its config.yaml.

As a program: ``python -m orchestrator.config.new_api_key FOLDER``.
"""

import fcntl
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.config.cross_setting_checks import key_conflicts
from orchestrator.config.example_key import is_example
from orchestrator.config.loading import Loaded, load
from orchestrator.config.settings import Settings
from orchestrator.config.sources import reason_and_fix
from orchestrator.config.yaml.key_paths import FILE_NAME
from orchestrator.core.errors import ConfigError, UnreadableConfig
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.atomic_write import replace_file

#: Variables that override a key in the file.
VARIABLES = ("ORCHESTRATOR_API__API_KEY", "ORCHESTRATOR_API__API_KEY_FILE")


def load_with_key(
    folder: Path,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    say: Callable[[str], None],
) -> Loaded:
    """Load the settings. If config.yaml has no API key, first write a new key into the file.

    After writing a key, call ``say`` with a message. Write no key if the environment has a key, or
    if another setting is invalid. Raise ConfigError as ``load`` does.
    """
    try:
        return load(folder, environ=environ, flags=flags, require_key=True)
    except ConfigError:
        if any(name in environ for name in VARIABLES):
            raise
        load(folder, environ=environ, flags=flags)
    # If the key cannot be written, ``load`` below reports the missing key.
    with suppress(OSError, ValueError):
        if ensure_key(folder):
            say(f"no API key in {folder / FILE_NAME}; wrote a new key there (file mode 600)")
    return load(folder, environ=environ, flags=flags, require_key=True)


def key_notes(settings: Settings) -> Iterator[str]:
    if is_example(settings.api.api_key.get_secret_value()):
        yield f"api.api_key looks like a published example; how to replace it: {COMMAND} doctor"


def ensure_key(folder: Path) -> bool:
    """Add a random API key to ``config.yaml`` in ``folder``. Create the file if it is missing.

    Return True if a key was added, and False if the file already has a key. The rest of the file is
    unchanged. Raise ValueError if the key cannot be added without changing another value, and
    UnreadableConfig if this user may not read the file.
    """
    # Imported when needed: most folders have a key.
    from orchestrator.config.template_and_schema import render_starter
    from orchestrator.config.yaml.api_key_insertion import lacks_key, with_key

    path = folder / FILE_NAME
    with _locked(folder):
        text = _text(path) if path.exists() else render_starter()
        if path.exists() and not lacks_key(text):
            return False
        replace_file(path, with_key(text, secrets.token_hex(32)).encode(), durable=True)
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock on the directory of config.yaml while the ``with`` block runs.

    If two processes need a key at the same time, the second process waits, and then finds the key
    that the first process wrote.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except PermissionError as error:
        raise UnreadableConfig(reason_and_fix(path)) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path.name}:{line}: not UTF-8; save the file as UTF-8") from error


def main(arguments: list[str]) -> int:
    try:
        was_added = ensure_key(Path(arguments[0]))
    except (ValueError, OSError, UnreadableConfig) as error:
        print(error, file=sys.stderr)
        return 1
    if was_added:
        print(f"Wrote a new API key into {FILE_NAME}.", file=sys.stderr)
        return 0
    problems = list(_problems_of_key(Path(arguments[0])))
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def _problems_of_key(folder: Path) -> Iterator[str]:
    """Yield why the server would reject the API key. The server reports all other problems."""
    with suppress(ConfigError):
        key = load(folder, environ=os.environ).settings.api.api_key.get_secret_value()
        for _, reason in key_conflicts(key, require_key=bool(key)):
            yield f"{FILE_NAME}: api.api_key: {reason}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
