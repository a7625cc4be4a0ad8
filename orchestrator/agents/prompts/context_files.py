"""The text of the files that a job's context names, limited in size."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.core.text.formatting import cut_bytes
from orchestrator.security.files.untrusted_files import read_regular

MOST_FILE_BYTES = 32 * 1024
MOST_BYTES_IN_ALL = 128 * 1024


def context_file_texts(names: Iterable[str], directories: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (name, text) for each file. For an unreadable file, the text states the reason.

    Relative names start in the first of the ``directories``. Absolute names must be below one of
    the ``directories``.
    """
    remaining, texts = MOST_BYTES_IN_ALL, []
    for name in names:
        text = _text(name, directories, min(remaining, MOST_FILE_BYTES))
        remaining -= len(text.encode("utf-8", "replace"))
        texts.append((name, text))
    return texts


def _text(name: str, directories: Sequence[Path], limit: int) -> str:
    if limit <= 0:
        return "(omitted: the files together exceed the size limit; read the file yourself)"
    path = directories[0] / name
    for directory in directories:
        # This call rejects a path that leads out of ``directory``.
        content = read_regular(path, limit + 1, within=directory)
        if content is not None:
            return _shown_text(content, limit)
    return "(unreadable: not a regular file of the project or of this job)"


def _shown_text(content: bytes, limit: int) -> str:
    if b"\0" in content:
        return "(not shown: not a text file)"
    text = content.decode("utf-8", "replace")
    if len(content) <= limit:
        return text
    return cut_bytes(text, limit) + "\n(cut here; read the rest in the file)"
