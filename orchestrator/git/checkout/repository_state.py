"""The state of the user's repository: refs, settings, hooks, and files of the checkout.

Two states are compared to detect changes by a job.
"""

import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.model.user_repository_changes import FILE, REFLOGS, SETTING, WAYS_TO_MERGE
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.text.path_patterns import within
from orchestrator.git.checkout.git_status import path_of, status
from orchestrator.git.checkout.ref_logs import stash_entries
from orchestrator.git.command import git_config, ref_files
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_config import SETTLED_SECONDS
from orchestrator.git.command.git_sessions import Stamp, shared_part, stamp_at
from orchestrator.git.command.runner import Git
from orchestrator.security.files.untrusted_files import read_regular

#: Maximum number of changed files that are checked individually.
MOST_FILES = 20_000
_REFS = ("refs/heads/", "refs/tags/", "refs/stash", "refs/notes/", "refs/replace/")
#: Files of the repository that decide which programs git runs, and how git treats files.
_SETTINGS = (
    *("config.worktree", "hooks", "objects/info/alternates"),
    *("info/exclude", "info/attributes", "info/sparse-checkout", "info/grafts", "shallow"),
)
#: Maximum size of a repository file whose content is stored. Larger files are only compared.
MOST_CONTENT = 65536
_MERGING = r"^(merge\..*\.driver|merge\.default|core\.attributesfile)$"
#: The flags of the index that was read last, with the index's path and stamp.
_flags_of = BoundedCache[str, tuple[Stamp, dict[str, str]]](1)


def state(git: Git, top: str, common: Path, ours: Sequence[str]) -> dict[str, str]:
    """Return the state of the checkout: a text for each ref, setting, and uncommitted file.

    Equal states mean that nothing has changed. ``ours``: the product's own folders, relative to
    ``top``. Changes in these folders do not count.
    """
    texts = {"HEAD": branch(git) or git.resolve("HEAD")}
    texts |= settings(common)
    for name in _SETTINGS:
        for file in _files_at(common / name):
            texts[f"git {os.path.relpath(file, common)}"] = content(file)
    if _fingerprint(str(common / "logs" / "HEAD")).startswith("0 "):
        texts[REFLOGS] = "empty"
    # Record locks, because a lock of a running or killed git blocks all other git commands.
    for file in (*common.glob("*.lock"), *common.glob("reftable/*.lock")):
        texts[f"git {os.path.relpath(file, common)}"] = _fingerprint(str(file))
    # Omit branches of jobs, which are not the user's: jobs that were not landed may have many
    # branches.
    texts |= ref_files.tips(git, common, *_REFS, without=f"refs/heads/{BRANCHES}/")
    texts |= stash_entries(common)
    texts |= _index_flags(git) | {WAYS_TO_MERGE: ways_to_merge(git, common)}
    for index, field in enumerate(status(git, top, ours)):
        path = path_of(field)
        if index < MOST_FILES and not any(within(path, each) for each in ours):
            texts[f"{FILE}{path}"] = f"{field} {_fingerprint(os.path.join(top, path))}"
    return texts


def branch(git: Git) -> str:
    """Return the full name of the branch that is checked out; "" for a detached HEAD."""
    part = shared_part(git.directory, git.env)
    content = part and read_regular(f"{part.common}/{part.head}HEAD", MOST_CONTENT)
    if not content or content.startswith(b"ref: refs/heads/.invalid"):
        # With a reftable, the file HEAD has no meaning.
        return git.ask("symbolic-ref", "--quiet", "HEAD")
    text = os.fsdecode(content).rstrip()
    return text.removeprefix("ref:").strip() if text.startswith("ref:") else ""


def settings(common: Path) -> dict[str, str]:
    """Return the repository's own settings by name. Each value is a JSON list of strings."""
    config = common / "config"
    listed = git_config.of_file(config)
    if listed is None:
        return {"git config": content(config)}
    values: dict[str, list[str | None]] = {}
    for name, is_set, value in (os.fsdecode(each).partition("\n") for each in listed):
        values.setdefault(name, []).append(value if is_set else None)
    return {f"{SETTING}{name}": json.dumps(all_values) for name, all_values in values.items()}


def content(path: Path) -> str:
    """Return a text from which ``RepositoryRestore`` can recreate the file; "" if there is no file.

    For a large file, a link, or an example hook of git (``*.sample``), return only a digest, from
    which ``RepositoryRestore`` cannot recreate the file.
    """
    try:
        mode = os.lstat(path).st_mode
        raw = path.read_bytes()
    except OSError:
        return ""
    digest = hashlib.sha256(raw).hexdigest()
    if not stat.S_ISREG(mode) or len(raw) > MOST_CONTENT or path.name.endswith(".sample"):
        return digest
    return f"{stat.S_IMODE(mode):o} {base64.b64encode(raw).decode()}"


def files(git: Git, top: str, ours: Sequence[str]) -> dict[str, str]:
    """Return the uncommitted files and their fingerprints, by path.

    Omits ignored files and the product's own folders.
    """
    fields = [each for each in status(git, top, ours) if not each.startswith("!")]
    entries = {path_of(each): each for each in fields[:MOST_FILES]}
    return {
        path: f"{field} {_fingerprint(os.path.join(top, path))}"
        for path, field in entries.items()
        if not any(within(path, each) for each in ours)
    }


def files_of(state: Mapping[str, str]) -> dict[str, str] | None:
    """Return the uncommitted files in ``state``, in the form that ``files`` returns.

    ``state``: a result of the function ``state``. Return None if ``state`` may lack files, because
    the checkout had MOST_FILES changed files or more.
    """
    entries = {
        name.removeprefix(FILE): each for name, each in state.items() if name.startswith(FILE)
    }
    if len(entries) >= MOST_FILES:
        return None
    return {path: each for path, each in entries.items() if not each.startswith("!")}


def ways_to_merge(git: Git, common: Path) -> str:
    """Return a digest of the settings and attributes that decide how git merges files.

    Return "" if there are no such settings and attributes.
    """
    settings = git_config.matching(git, _MERGING)
    attributes = common / "info" / "attributes"
    settings += attributes.read_bytes() if attributes.is_file() else b""
    return hashlib.sha256(settings).hexdigest() if settings else ""


def _index_flags(git: Git) -> dict[str, str]:
    part = shared_part(git.directory, git.env)
    index = f"{part.common}/{part.head}index" if part else ""
    stamp, began = stamp_at(index), time.time()
    cached_stamp, flags = _flags_of.get(index) or (None, {})
    if cached_stamp is not None and cached_stamp == stamp:
        return flags
    answer = git.run("ls-files", "-v", "-z", accept=range(256))
    marked = "\0".join(each for each in answer.fields if not each.startswith("H"))
    digest = hashlib.sha256(os.fsencode(marked)).hexdigest()
    flags = {"flags in the index": digest} if marked else {}
    # Do not cache the flags of an index that was written a moment ago, because the index may change
    # again within the same time stamp.
    if stamp and not answer.code and max(stamp[2:]) < (began - SETTLED_SECONDS) * 1e9:
        _flags_of.put(index, (stamp, flags))
    return flags


def _fingerprint(path: str) -> str:
    try:
        file_status = os.lstat(path)
    except OSError:
        return "gone"
    return f"{file_status.st_size} {file_status.st_mtime_ns} {file_status.st_ctime_ns}"


def _files_at(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]
