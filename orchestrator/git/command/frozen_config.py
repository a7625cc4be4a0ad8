"""The git settings and ignore rules that are saved at a job's start, and apply to the whole job.

The settings concern line ends, file modes, links, the case of names, and filters. All worktrees
share the configuration and ``info/exclude``, and a worker may change both. For example, if a worker
changed ``core.fileMode``, git would overlook new file modes of all other workers. A new ignore rule
would hide new files of all other workers. The ``.gitignore`` files of a worktree are not saved.
"""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command import git_config
from orchestrator.git.command.runner import FROM_INPUT, Git, with_nul
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import read_regular


def write_once(path: Path, content: Callable[[], bytes]) -> None:
    """Write the result of ``content`` to the file ``path`` if the file does not exist. Idempotent.

    The write is atomic. Does nothing if the file's directory does not exist.
    """
    if path.exists() or not path.parent.is_dir():
        return
    replace_file(path, content())


#: Name of the file with the saved settings, in a root job's directory. Earlier releases wrote the
#: file ``settings-before``, which has no filters.
NAME = "filters-and-settings-before"
#: Git's defaults, by name.
_DEFAULTS = {
    "core.autocrlf": "false",
    "core.eol": "native",
    "core.filemode": "true",
    "core.ignorecase": "false",
    "core.symlinks": "true",
}
#: Values that disable a filter, because a filter runs a program.
_NO_FILTER = {"clean": "", "smudge": "", "process": "", "required": "false"}
_NAMES = (
    *(each.replace(".", r"\.") for each in _DEFAULTS),
    rf"filter\..*\.({'|'.join(_NO_FILTER)})",
)
_PATTERN = f"^({'|'.join(_NAMES)})$"
_MOST_BYTES = 65536


@dataclass(frozen=True, slots=True)
class FrozenConfig:
    #: Path of the file with the settings that apply to a job. If the file is missing, the current
    #: settings apply.
    file: Path

    def save(self, git: Git) -> None:
        """Save the settings. Idempotent: only the first call saves them."""
        write_once(self.file, lambda: _present_settings(git))

    def of(self, git: Git) -> Git:
        """Return ``git`` with the saved settings instead of the current settings."""
        saved_text = read_regular(self.file, _MOST_BYTES)
        present_text = _present_settings(git)
        if saved_text is None or saved_text == present_text:
            return git
        saved, current = _parsed(saved_text), _parsed(present_text)
        values = {name: saved.get(name, _default(name)) for name in {**saved, **current}}
        differing = {
            name: value
            for name, value in values.items()
            if value != current.get(name, _default(name))
        }
        return Git(git.directory, {**git.env, **_settings_as_variables(differing)})


def _default(name: str) -> str:
    return _DEFAULTS.get(name) or _NO_FILTER[name.rpartition(".")[2]]


def _present_settings(git: Git) -> bytes:
    return git_config.matching(git, _PATTERN)


def _parsed(listed: bytes) -> Mapping[str, str]:
    # A name without a value means true. The last value of a name applies.
    fields = (each.partition("\n") for each in os.fsdecode(listed).split("\0")[:-1])
    return {name: value if separator else "true" for name, separator, value in fields}


def _settings_as_variables(values: Mapping[str, str]) -> Mapping[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (name, value) in enumerate(values.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


#: Name of the file with the saved ignore rules, in a root job's directory.
IGNORE_RULES = "ignored-before"


@dataclass(frozen=True, slots=True)
class FrozenIgnoreRules:
    #: The part of the repository that all worktrees share.
    common: Path
    #: Path of the file with the rules that apply to a job. If the file is missing, all current
    #: rules apply.
    file: Path

    def save(self, git: Git) -> None:
        """Save the ignore rules. Idempotent: only the first call saves them."""
        write_once(
            self.file,
            lambda: _content(_user_ignore_file(git)) + b"\n" + _content(self._exclude_file),
        )

    def add_hidden(self, git: Git, excluded: Collection[str]) -> bool:
        """Add new files to the index if git ignores them only because of later ignore rules.

        Later rules are rules that were added after the job's start. Files in ``excluded`` are not
        added to the index. Return True if a file was added.
        """
        if not self.have_changed(git):
            return False
        kinds = ("--exclude-per-directory=.gitignore", f"--exclude-from={self.file}")
        others = git.run("ls-files", "--others", "-z", *kinds).fields
        hidden = [each for each in others if each not in excluded]
        if hidden:
            git.run("add", "--force", "--sparse", *FROM_INPUT, stdin=with_nul(hidden))
        return bool(hidden)

    def have_changed(self, git: Git) -> bool:
        """True if the rules may have changed since the job's start, according to file times.

        A wrong True does no harm: the caller then compares unchanged rules.
        """
        if not self.file.exists():
            return False
        began = self.file.stat().st_mtime_ns
        paths = (self._exclude_file, self.common / "config", _user_ignore_file(git))
        return any(each.exists() and each.stat().st_mtime_ns > began for each in paths)

    @property
    def _exclude_file(self) -> Path:
        return self.common / "info" / "exclude"


def _user_ignore_file(git: Git) -> Path:
    path = os.path.expanduser(git_config.value(git, "core.excludesfile"))
    if path.startswith(("~", "%")):
        path = git.run("config", "--path", "core.excludesFile", accept=(0, 1)).line
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(git.directory, path or f"{home}/git/ignore")


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
