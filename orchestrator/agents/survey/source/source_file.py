"""Findings in source text, such as symbols and imports, as frozen values."""

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True)
class Symbol:
    """A public name, and the line of its definition.

    ``kind``: function, class, type, ...
    """

    name: str
    kind: str
    line: int


@dataclass(frozen=True)
class Import:
    """An imported module, and the imported names.

    The module's name is as in the source. In Python, a relative name is made absolute.
    """

    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """Findings in one source file.

    ``masked``: the file's text with marks in place of comments, and for Python also of strings.
    """

    masked: str
    #: Dotted name of a Python module; otherwise empty.
    name: str = ""
    symbols: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()
    #: Line of the main function or of ``if __name__ == "__main__"``; 0 if the file has neither.
    main_line: int = 0
    test_cases: int = 0
    #: True if the file counts as a module; always True for Python. In other languages, False if the
    #: text looks minified or generated, or if no grammar exists for the language. Of such a file,
    #: only the lines are counted.
    is_module: bool = True
    #: True if symbols, imports and tests are unknown, because no grammar for them is installed.
    lacks_grammar: bool = False
