"""Names of modules, and the file to which an import refers."""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_SCRIPT_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".d.ts", ".vue")


def python_module(root: Path, path: str) -> str:
    """Return the dotted module name of the Python file at ``path``.

    The package begins at the outermost directory with ``__init__.py``.
    """
    directory, name = os.path.split(path)
    stem = name.rpartition(".")[0]
    names = [] if stem == "__init__" else [stem]
    levels = directory.split("/") if directory else []
    return ".".join(levels[_outermost_package(root, levels) :] + names)


def _outermost_package(root: Path, levels: list[str]) -> int:
    """Return the number of directories of a path that come before the outermost package.

    ``levels``: the names of the path's directories, the outermost first. If no directory is a
    package, return the number of all directories.
    """
    for number in range(len(levels)):
        if _is_package(root, "/".join(levels[: number + 1])):
            return number
    return len(levels)


@cache
def _is_package(root: Path, directory: str) -> bool:
    return os.path.lexists(root / directory / "__init__.py")


class ModuleIndex:
    def __init__(self, modules: Iterable[Mapping[str, str]]) -> None:
        self._paths: set[str] = set()
        self._by_name: dict[str, str] = {}
        self._by_ending: dict[str, list[str]] = {}
        for module in modules:
            self._add(module["path"], module["language"], module.get("name", ""))

    def _add(self, path: str, language: str, name: str) -> None:
        self._paths.add(path)
        if language == "Python" and name:
            self._by_name.setdefault(name, path)
        self._by_ending.setdefault(os.path.basename(path), []).append(path)
        if language == "Go":
            self._by_name.setdefault(f"go:{os.path.dirname(path)}", os.path.dirname(path))

    def targets(self, importer: str, language: str, module: str, names: Iterable[str]) -> set[str]:
        """Return the surveyed files to which one import in the file ``importer`` refers.

        ``names``: the names that are imported from ``module``. For Go, the result has the directory
        of the imported package. The result is empty if the module belongs to another project, or if
        imports of ``language`` are not supported.
        """
        if language == "Python":
            return self._python_targets(importer, module, names)
        if language in ("JavaScript", "TypeScript", "TSX"):
            return self._script_targets(importer, module)
        if language in ("C", "C++", "C/C++ header"):
            near = os.path.normpath(os.path.join(os.path.dirname(importer), module))
            return {near} if near in self._paths else self._paths_ending_with(module)
        if language == "Java":
            return self._paths_ending_with(module.replace(".", "/") + ".java")
        return self._go_targets(module) if language == "Go" else set()

    def sibling_module(self, importer: str, module: str) -> str:
        """Return the path of ``module`` if its file is next to the Python file ``importer``.

        Return "" if there is no such file, or if ``importer`` is in a package. In a package, Python
        does not search the importer's directory.
        """
        directory = os.path.dirname(importer)
        path = os.path.join(directory, f"{module}.py")
        in_package = os.path.join(directory, "__init__.py") in self._paths
        return path if path in self._paths and path != importer and not in_package else ""

    def _python_targets(self, importer: str, module: str, names: Iterable[str]) -> set[str]:
        if sibling := self.sibling_module(importer, module):
            return {sibling}
        imported_names = list(names)
        submodules = {self._by_name.get(f"{module}.{name}", "") for name in imported_names} - {""}
        takes_more = len(submodules) < len(imported_names) or not imported_names
        module_file = {self._by_name[module]} if takes_more and module in self._by_name else set()
        return submodules | module_file

    def _script_targets(self, importer: str, module: str) -> set[str]:
        if not module.startswith("."):
            return set()
        base = os.path.normpath(os.path.join(os.path.dirname(importer), module))
        stem = os.path.splitext(base)[0]
        guesses = [base, *(f"{base}{ending}" for ending in _SCRIPT_ENDINGS)]
        guesses += [f"{stem}{ending}" for ending in _SCRIPT_ENDINGS]
        guesses += [f"{base}/index{ending}" for ending in _SCRIPT_ENDINGS]
        return {guess for guess in guesses if guess in self._paths and guess != importer}

    def _paths_ending_with(self, ending: str) -> set[str]:
        candidates = self._by_ending.get(os.path.basename(ending), [])
        return {path for path in candidates if path == ending or path.endswith("/" + ending)}

    def _go_targets(self, module: str) -> set[str]:
        parts = module.split("/")
        tails = ("/".join(parts[start:]) for start in range(1, len(parts)))
        directories = (self._by_name.get(f"go:{tail}") for tail in tails)
        return {next((path for path in directories if path is not None), "")} - {""}
