"""Contents of a Python text: comments and docstrings, public names, imports, tests."""

import ast
import re
import warnings
from collections.abc import Iterator

from orchestrator.agents.survey.source.line_count import COMMENT_MARK, STRING_MARK, fill
from orchestrator.agents.survey.source.source_file import Import, SourceFile, Symbol

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<prefix>\b[rRbBfFuUtT]{1,2})?(?:
      '''(?:[^\\']|\\.|'(?!''))*(?:'''|\Z)
     |\"""(?:[^\\"]|\\.|"(?!""))*(?:\"""|\Z)
     |'(?:[^\\'\n]|\\.)*(?:'|(?=\n)|\Z)
     |"(?:[^\\"\n]|\\.)*(?:"|(?=\n)|\Z))""",
    re.VERBOSE | re.DOTALL,
)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def read_python(text: str, module: str, *, is_package: bool) -> SourceFile:
    """Analyze ``text``. Never raises.

    ``module``: the dotted name of the text's module.
    """
    masked = mask_python(text)
    tree = _parse(text)
    if tree is None:
        return SourceFile(masked=masked, name=module)
    package = module if is_package else module.rpartition(".")[0]
    statements = list(_statements(tree.body))
    return SourceFile(
        masked=masked,
        name=module,
        symbols=tuple(_public_symbols(tree)),
        imports=tuple(_imports(statements, package)),
        main_line=_main_line(tree),
        test_cases=sum(
            isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            and each.name.startswith("test")
            for each in statements
        ),
    )


def _parse(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        # Hide warnings about invalid escapes: only the project's authors need them.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def mask_python(text: str) -> str:
    """Return ``text`` with COMMENT_MARK for comments and docstrings, STRING_MARK for strings.

    As in pygount, a docstring is a string at the start of the text or after a colon.
    """
    pieces: list[str] = []
    end, expects_docstring = 0, True
    for match in _TOKEN.finditer(text):
        start = match.start()
        between = text[end:start]
        pieces.append(between)
        if code := between.strip(" \t\f\r\n"):
            expects_docstring = code[-1] == ":"
        is_comment = match["comment"] is not None
        is_docstring = not is_comment and expects_docstring
        pieces.append(fill(match[0], COMMENT_MARK if is_comment or is_docstring else STRING_MARK))
        # A second string directly after a docstring is a value, not part of the docstring.
        expects_docstring = expects_docstring and is_comment
        end = match.end()
    return "".join(pieces) + text[end:]


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    # Expressions are most of a tree, and are not needed.
    pending: list[ast.AST] = list(body)
    while pending:
        statement = pending.pop()
        yield statement
        for block in _BLOCKS:
            pending.extend(getattr(statement, block, None) or ())


def _public_symbols(tree: ast.Module) -> Iterator[Symbol]:
    exported = _exported(tree)
    for node in _top_level(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name in exported if exported else _is_public(node.name):
                yield from _definition(node)
        elif isinstance(node, ast.ImportFrom):
            names = [(alias.asname or alias.name) for alias in node.names]
            yield from (Symbol(n, "re-export", node.lineno) for n in names if n in exported)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    pending = list(body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If | ast.Try):
            for block in ("body", "orelse", "finalbody"):
                pending.extend(getattr(node, block, ()))


def _definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[Symbol]:
    if not isinstance(node, ast.ClassDef):
        yield Symbol(node.name, "function", node.lineno)
        return
    yield Symbol(node.name, "class", node.lineno)
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(member.name):
            yield Symbol(f"{node.name}.{member.name}", "method", member.lineno)


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _exported(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(_is_name(t, "__all__") for t in node.targets):
            elements = getattr(node.value, "elts", [])
            return {str(e.value) for e in elements if isinstance(e, ast.Constant)}
    return set()


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _imports(statements: list[ast.AST], package: str) -> Iterator[Import]:
    names_by_module: dict[str, set[str]] = {}
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                names_by_module.setdefault(alias.name, set())
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            names_by_module.setdefault(_absolute_module(node, package), set()).update(names)
    for module, imported in sorted(names_by_module.items()):
        yield Import(module, tuple(sorted(imported)))


def _absolute_module(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    base = parts[: len(parts) - node.level + 1] if node.level > 1 else parts
    return ".".join([*base, *([node.module] if node.module else [])]) or "."


def _main_line(tree: ast.Module) -> int:
    for node in tree.body:
        test = node.test if isinstance(node, ast.If) else None
        if isinstance(test, ast.Compare) and _is_name(test.left, "__name__"):
            return node.lineno
    return 0
