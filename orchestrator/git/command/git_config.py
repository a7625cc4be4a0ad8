"""Git's configuration: read once, and cached until one of its files changes."""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_sessions import Stamp, shared_part, stamp_at
from orchestrator.git.command.runner import Git, has_lfs

#: Maximum seconds for which a configuration is cached, because git may read files whose changes
#: this module does not notice.
CACHE_SECONDS = 30.0
#: If a file changes again within this time, in seconds, both changes may give the file the same
#: time. Therefore a configuration is not cached if one of its files has just changed.
SETTLED_SECONDS = 0.1
#: Settings that make git read further files, possibly other files for each branch or worktree.
_INCLUDING = re.compile(r"^(include|includeif)\.|^extensions\.worktreeconfig$")
_MOST_CACHED = 64


@dataclass(frozen=True, slots=True)
class _CachedConfig:
    until: float
    stamps: Mapping[str, Stamp | None]
    #: The settings as ``git config --list -z`` prints them.
    settings: Sequence[bytes]


_cached_configs = BoundedCache[tuple[str, bool], _CachedConfig](_MOST_CACHED)


def matching(git: Git, pattern: str) -> bytes:
    """Return the settings whose names match ``pattern``, a regular expression.

    The format is that of ``git config -z --get-regexp``.
    """
    expression = re.compile(pattern.encode())
    settings = [each for each in all_settings(git) if expression.search(each.partition(b"\n")[0])]
    return b"".join(each + b"\0" for each in settings)


def value(git: Git, name: str) -> str:
    """Return the last value of a setting; "" if it is not set. ``name`` must be in lower case."""
    prefix = f"{name}\n".encode()
    values = [each for each in all_settings(git) if each.startswith(prefix)]
    return os.fsdecode(values[-1][len(prefix) :]) if values else ""


def of_file(path: Path) -> Sequence[bytes] | None:
    """Return all settings of a file, without included files; None if git cannot read the file."""
    key = str(path), False
    cached = _cached_configs.get(key)
    now = time.monotonic()
    if cached is None or cached.stamps != _stamps(cached.stamps):
        began, stamps = time.time(), _stamps([key[0]])
        options = ("--file", key[0], "--no-includes", "--list", "-z")
        answer = Git("/", {"GIT_DIR": os.devnull}).run("config", *options, accept=range(256))
        if answer.code:
            return None
        cached = _CachedConfig(now + CACHE_SECONDS, stamps, answer.out.split(b"\0")[:-1])
        _cache(key, cached, began)
    return cached.settings


def all_settings(git: Git) -> Sequence[bytes]:
    """Return all settings as git lists them: name, line feed, and value.

    Raise RepositoryError if git cannot read the configuration.
    """
    part = shared_part(git.directory, git.env)
    if part is None or "GIT_CONFIG_COUNT" in git.env:
        return _settings_and_files(git)[0]
    key = part.common, has_lfs()
    cached = _cached_configs.get(key)
    now = time.monotonic()
    if cached is None or now > cached.until or cached.stamps != _stamps(cached.stamps):
        began = time.time()
        settings, files = _settings_and_files(git)
        # Take the stamps after the read. If a file has changed since the read, its stamp is recent,
        # so the configuration is not cached.
        stamps = _stamps([*files, *_usual_files(part.common)])
        cached = _CachedConfig(now + CACHE_SECONDS, stamps, settings)
        _cache(key, cached, began, _INCLUDING)
    return cached.settings


def _cache(
    key: tuple[str, bool],
    configuration: _CachedConfig,
    began: float,
    excluded: re.Pattern[str] | None = None,
) -> None:
    """Cache a configuration that was read at the time ``began``.

    ``began``: Unix time. The configuration is not cached in two cases:

    - One of its files changed after ``began``, or less than SETTLED_SECONDS before.
    - A setting's name matches ``excluded``.
    """
    names = (os.fsdecode(each.partition(b"\n")[0]) for each in configuration.settings)
    has_excluded = excluded is not None and any(map(excluded.search, names))
    changed = max((max(each[2:]) for each in configuration.stamps.values() if each), default=0)
    if not has_excluded and changed < (began - SETTLED_SECONDS) * 1e9:
        _cached_configs.put(key, configuration)
    else:
        _cached_configs.drop(key)


def _settings_and_files(git: Git) -> tuple[Sequence[bytes], list[str]]:
    fields = git.run("config", "--list", "-z", "--show-origin").out.split(b"\0")[:-1]
    files = dict.fromkeys(each for each in fields[::2] if each.startswith(b"file:"))
    paths = [os.path.join(git.directory, os.fsdecode(each[5:])) for each in files]
    return fields[1::2], paths


def _usual_files(common: str) -> list[str]:
    home = Path.home()
    config_home = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return [f"{common}/config", "/etc/gitconfig", f"{home}/.gitconfig", f"{config_home}/git/config"]


def _stamps(paths: Iterable[str]) -> dict[str, Stamp | None]:
    return {path: stamp_at(path) for path in paths}
