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

    The module's name is as in the source; for Python, it is absolute.
    """

    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """What the survey found in one source file. ``masked``: its text with masked comments."""

    masked: str
    #: Dotted name of a Python module; otherwise empty.
    name: str = ""
    symbols: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()
    #: Line of the main function or main guard; 0 if there is none.
    main_line: int = 0
    test_cases: int = 0
    #: False for text that is only counted: minified, or in a language without modules.
    is_module: bool = True
    #: True if symbols, imports and tests are unknown, because no grammar for them is installed.
    lacks_grammar: bool = False
