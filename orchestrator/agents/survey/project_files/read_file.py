"""Reads one file: its language, line counts, TODO and FIXME notes, symbols, and imports."""

import os
import re
import stat
from pathlib import Path

from orchestrator.agents.survey.project_files.listing import FoundFile
from orchestrator.agents.survey.source.languages import (
    BINARY,
    OTHER,
    interpreter_language,
    language_of,
)
from orchestrator.agents.survey.source.line_count import (
    COMMENT_MARK,
    NO_LINES,
    LineCount,
    count_lines,
    mask_comments,
    split_lines,
)
from orchestrator.agents.survey.source.module_names import python_module
from orchestrator.agents.survey.source.python import read_python
from orchestrator.agents.survey.source.source_file import SourceFile
from orchestrator.agents.survey.source.tree_sitter_parsing import (
    is_machine_made,
    is_read_by_grammar,
    read_with_grammar,
)
from orchestrator.core.lazy_dataclass import dataclass

#: Maximum size of a file that is read. A larger file is counted, but its lines are not.
LARGEST_READ_BYTES = 2 * 1024 * 1024
#: Number of first bytes that are searched for a zero byte, the sign of a binary file. Text in
#: UTF-16 also has zero bytes, but begins with a byte order mark.
_SNIFFED_BYTES = 8192
_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_TAG = re.compile(r"\b(TODO|FIXME)\b(?P<marked>(?:\([^()]*\))?\s*:)?[:\s]*(?P<text>.*)")
_WORD = re.compile(r"\w")
#: Maximum length of a TODO note; longer notes are cut.
LONGEST_NOTE = 200


@dataclass(frozen=True, kw_only=True)
class Todo:
    line: int
    tag: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    path: str
    size: int
    language: str
    state: str = "read"
    lines: LineCount = NO_LINES
    source: SourceFile | None = None
    todos: tuple[Todo, ...] = ()
    shebang: str = ""
    executable: bool = False
    #: The text, stored for manifests only.
    text: str = ""


def read_file(root: Path, file: FoundFile, *, keep_text: bool = False) -> ReadFile:
    """Read and analyze a file. Never raises.

    The field ``state`` of the result is "read", or the reason why the file was not read. If
    ``keep_text`` is True, the result also has the file's text.
    """
    language = language_of(file.path)
    if file.size > LARGEST_READ_BYTES:
        return _unread(file, language or OTHER, "too large")
    try:
        content, mode = _content(root / file.path)
    except OSError:
        return _unread(file, language or OTHER, "unreadable")
    text = _decoded(content)
    if text is None:
        return _unread(file, BINARY, "binary")
    first_line = text[:200].partition("\n")[0]
    language = language or interpreter_language(first_line) or OTHER
    source = _source(root, file.path, text, language)
    return ReadFile(
        path=file.path,
        size=file.size,
        language=language,
        lines=count_lines(source.masked, language),
        source=source,
        todos=_todos(text, source.masked),
        shebang=first_line if first_line.startswith("#!") else "",
        executable=bool(mode & stat.S_IXUSR),
        text=text if keep_text else "",
    )


def _unread(file: FoundFile, language: str, state: str) -> ReadFile:
    return ReadFile(path=file.path, size=file.size, language=language, state=state)


def _content(path: Path) -> tuple[bytes, int]:
    # The file may have become a link or a pipe since it was listed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        return stream.read(LARGEST_READ_BYTES + 1), status.st_mode


def _decoded(content: bytes) -> str | None:
    # A file with a zero byte and without a byte order mark is binary.
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:_SNIFFED_BYTES]:
        return None
    text = content.decode(encoding or "utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _source(root: Path, path: str, text: str, language: str) -> SourceFile:
    if language == "Python":
        name = os.path.basename(path)
        return read_python(text, python_module(root, path), is_package=name == "__init__.py")
    is_module = is_read_by_grammar(language) and not is_machine_made(text)
    source = read_with_grammar(text, language) if is_module else None
    return source or SourceFile(
        masked=mask_comments(text, language), is_module=is_module, lacks_grammar=is_module
    )


def _todos(text: str, masked: str) -> tuple[Todo, ...]:
    if "TODO" not in text and "FIXME" not in text:
        return ()
    lines = zip(split_lines(text), split_lines(masked), strict=False)
    notes = (_todo(number, line, mask) for number, (line, mask) in enumerate(lines, 1))
    return tuple(note for note in notes if note is not None)


def _comment_start(mask: str, position: int) -> int:
    while position and (mask[position - 1] == COMMENT_MARK or mask[position - 1].isspace()):
        position -= 1
    return position


def _todo(number: int, line: str, mask: str) -> Todo | None:
    match = _TAG.search(line)
    if match is None or mask[match.start() : match.start() + 1] != COMMENT_MARK:
        return None
    # Without a colon after TODO or FIXME, only spaces and signs may come before the word: "See the
    # TODO list" is not a note.
    prefix = line[_comment_start(mask, match.start()) : match.start()]
    if not match["marked"] and _WORD.search(prefix):
        return None
    text = match["text"].strip().removesuffix("*/").removesuffix("-->").strip()
    return Todo(line=number, tag=match[1], text=text[:LONGEST_NOTE])
