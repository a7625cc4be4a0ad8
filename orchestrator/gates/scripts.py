"""Files of the project that a command runs: who changes them changes what is checked."""

import re
from collections.abc import Iterator

from orchestrator.core.gates import GateFiles

#: Each that may be one is looked for.
_MOST_LOOKS = 20
_WORDS = re.compile(r"[\w./-]+")


def scripts_in(text: str, files: GateFiles) -> tuple[str, ...]:
    """Patterns of the files that words of a command, or of a makefile, name."""
    words = dict.fromkeys(each.removeprefix("./") for each in _WORDS.findall(text))
    return tuple(f"/{path}" for path in _existing(words, files))


def _existing(words: dict[str, None], files: GateFiles) -> Iterator[str]:
    top = files.names()
    # What names nothing at the top names nothing.
    likely = [word for word in words if word.split("/")[0] in top]
    yield from (word for word in likely[:_MOST_LOOKS] if files.read(word))
