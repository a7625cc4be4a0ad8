"""Messages of commands that Codex's sandbox prevents from writing: the only sign of a denial.

The messages depend on the sandbox's mechanism: mounts (Linux), Landlock (older Linux), Seatbelt
(macOS). The last two give errors that also occur without a sandbox. So they count only for a
program that creates a file in its start directory, the worker's own directory, where only the
sandbox prevents writing.
"""

import re

_REFUSED = r"(?:Permission denied|Operation not permitted)"
#: A relative path, possibly in quotation marks.
_HERE = r"""['"‘]?+(?!/)[^\n:]+"""
_SHELL = r"(?:/\S*/)?(?:ba|da|z|k)?sh"
_WORDS = (
    # GNU and busybox: "touch: cannot touch 'a': ...", "mkdir: cannot create directory ‘a’: ..."
    rf"^\S+: (?:can't|cannot) (?:touch|create (?:directory|regular file)) {_HERE}: {_REFUSED}$",
    # BSD, and tee: "mkdir: a: ..."
    rf"^(?:touch|mkdir|tee): (?!can(?:'t|not) ){_HERE}: {_REFUSED}$",
    # dash: "sh: 1: cannot create a: ..."
    rf"^{_SHELL}: \d+: cannot create {_HERE}: {_REFUSED}$",
    # A redirection of bash. With a slash, the path may be a program that cannot be executed.
    rf"^{_SHELL}: (?:line \d+: )?(?!/)[^\n:/]+: {_REFUSED}$",
    # A redirection of zsh, which reports a program that cannot be executed as "permission denied".
    rf"^{_SHELL}:(?:\d+:)? operation not permitted: {_HERE}$",
    # Only Seatbelt denies the opening of a file with these words.
    rf"^PermissionError: \[Errno 1\] Operation not permitted: {_HERE}$",
)
_KEPT_FROM_WRITING = re.compile("|".join(("[Rr]ead-only file system", *_WORDS)), re.M)


def kept_from_writing(said: str) -> bool:
    return bool(_KEPT_FROM_WRITING.search(said))
