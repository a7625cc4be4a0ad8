"""Facts from source texts: public names, imports, entry points, tests, TODO notes."""

from pathlib import Path

import pytest

from orchestrator.agents.survey.project_files.listing import FoundFile
from orchestrator.agents.survey.project_files.read_file import LARGEST_READ_BYTES, read_file
from orchestrator.agents.survey.source.languages import interpreter_language, language_of
from orchestrator.agents.survey.source.module_names import ModuleIndex, python_module
from orchestrator.agents.survey.source.python import read_python
from orchestrator.agents.survey.source.tree_sitter_parsing import is_machine_made, read_with_grammar
from tests.unit.agents.survey.trees import plant

PYTHON = """
import os, sys as system
from . import sibling
from ..other import thing as renamed
if True:
    import inner_module
def public(): import late
def _private(): ...
class Shape:
    def area(self): ...
    def _hidden(self): ...
async def later(): ...
def test_it(): ...
if __name__ == "__main__":
    public()
"""

#: Language, text, public names, imports.
SOURCES = [
    ("JavaScript",
     "import a from './b';\nconst x = require('y');\nexport function f() {}\n"
     "export const k = 1;\nexport class C {}\nfunction hidden() {}\n",
     {"f", "k", "C"}, {"./b", "y"}),
    ("JavaScript", "function f() {}\nclass C {}\n", {"f", "C"}, set()),
    ("JavaScript", "exports.a = 1;\nmodule.exports.b = 2;\n", {"a", "b"}, set()),
    ("TypeScript", "export interface A {}\nexport type T = 1;\nexport enum E {}\nimport 'm';",
     {"A", "T", "E"}, {"m"}),
    ("TSX", "export default function App() { return <a>// no</a> }\n", {"App"}, set()),
    ("Go", 'package m\nimport (\n"fmt"\nx "a/b"\n)\ntype Foo struct{}\nfunc (f Foo) Bar() {}\n'
     "func private() {}\n", {"Foo", "Bar"}, {"fmt", "a/b"}),
    ("Rust", "use a::b::{c, d};\nuse x::y as z;\npub fn f() {}\npub struct S;\nfn g() {}\n",
     {"f", "S"}, {"a::b", "x::y"}),
    ("Java", "import a.b.C;\npublic class X { public void f() {} private void g() {} }",
     {"X", "f"}, {"a.b.C"}),
    ("C", '#include <stdio.h>\n#include "a.h"\nstatic int h() {}\nint f() {}\nstruct S {int a;};',
     {"f", "S"}, {"stdio.h", "a.h"}),
    ("C++", "#include <v>\nnamespace n { class A { void g(); }; }\nint A::g() {}\n",
     {"A", "A::g"}, {"v"}),
    ("C#", "using System.Text;\npublic class C { public void F() {} void G() {} }",
     {"C", "F"}, {"System.Text"}),
    ("Ruby", "require 'json'\nmodule A\nclass B\ndef f\nend\nend\nend\n",
     {"A", "B", "f"}, {"json"}),
    ("PHP", "<?php use A\\B;\nclass X { public function f() {} private function g() {} }",
     {"X", "f"}, {"A\\B"}),
    ("Bash", "f() { :; }\n. ./lib.sh\nsource other.sh\n", {"f"}, {"./lib.sh", "other.sh"}),
]  # fmt: skip


def test_python_names_imports_tests_and_the_main_guard_are_found() -> None:
    source = read_python(PYTHON, "pkg.sub.mod", is_package=False)
    assert {s.name for s in source.symbols} == {
        *("public", "Shape", "Shape.area", "later", "test_it"),
    }
    imports = {i.module: i.names for i in source.imports}
    assert imports == {
        "os": (),
        "sys": (),
        "pkg.sub": ("sibling",),
        "pkg.other": ("thing",),
        "inner_module": (),
        "late": (),
    }
    assert (source.main_line, source.test_cases) == (14, 1)


def test_the_names_in_all_are_the_public_ones_with_what_is_exported_again() -> None:
    text = "from .a import b\n__all__ = ['b', '_c']\ndef _c(): ...\ndef d(): ...\n"
    source = read_python(text, "pkg", is_package=True)
    assert {(s.name, s.kind) for s in source.symbols} == {("b", "re-export"), ("_c", "function")}


@pytest.mark.parametrize("text", ["def (", "\0", "x = " + "(" * 5000, "é" * 10, "'\ud800'"])
def test_python_that_cannot_be_parsed_is_counted_without_names(text: str) -> None:
    source = read_python(text, "m", is_package=False)
    assert source.masked
    assert source.symbols == ()


def test_a_long_chain_of_branches_is_read() -> None:
    text = "if a: pass\n" + "elif a: pass\n" * 600
    assert read_python(text, "m", is_package=False).main_line == 0


@pytest.mark.parametrize(("language", "text", "names", "imports"), SOURCES)
def test_grammars_find_public_names_and_imports(
    language: str, text: str, names: set[str], imports: set[str]
) -> None:
    source = read_with_grammar(text, language)
    assert {symbol.name for symbol in source.symbols} == names
    assert {entry.module for entry in source.imports} == imports


@pytest.mark.parametrize(
    ("language", "text", "cases"),
    [
        ("Go", "package a\nfunc TestX(t *T) {}\nfunc Other() {}\n", 1),
        ("Rust", "#[test]\nfn a() {}\n#[tokio::test]\nasync fn b() {}\nfn c() {}\n", 2),
        ("JavaScript", "describe('a', () => { it('b', f); test('c', f); });", 2),
        ("Java", "class A { @Test void a() {} void b() {} }", 1),
        ("Ruby", "it 'works' do\nend\ndef test_x\nend\n", 2),
    ],
)
def test_grammars_count_test_cases(language: str, text: str, cases: int) -> None:
    assert read_with_grammar(text, language).test_cases == cases


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("Go", "package main\nfunc main() {}\n"),
        ("Rust", "\nfn main() {}\n"),
        ("C", "\nint main(void) { return 0; }\n"),
        ("Java", "class A {\npublic static void main(String[] a) {} }\n"),
        ("C#", "class A {\nstatic void Main() {} }\n"),
    ],
)
def test_grammars_find_the_main_function(language: str, text: str) -> None:
    assert read_with_grammar(text, language).main_line == 2


@pytest.mark.parametrize("language", sorted({language for language, *_ in SOURCES}))
def test_a_text_in_another_language_does_no_harm(language: str) -> None:
    assert read_with_grammar("\ud800 <<<< }}}} \x01 %%% '\n" * 20, language).masked


def test_minified_text_is_recognized_by_its_long_lines() -> None:
    assert is_machine_made("x" * 5000)
    assert not is_machine_made("x = 1\n" * 5000)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a/b.py", "Python"), ("Dockerfile", "Dockerfile"), ("Dockerfile.dev", "Dockerfile"),
        ("x.TSX", "TSX"), ("README", "Text"), ("a.unknown", None), (".gitignore", "Ignore list"),
        ("CMakeLists.txt", "CMake"), ("uv.lock", "Lock file"), ("py", None),
        ("run.bat", "Batch"),
    ],
)  # fmt: skip
def test_a_file_name_gives_the_language(name: str, language: str | None) -> None:
    assert language_of(name) == language


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("#!/usr/bin/env python3", "Python"), ("#!/bin/sh -e", "Bash"),
        ("#!/usr/bin/env -S node --x", "JavaScript"), ("#!/usr/bin/python3.11", "Python"),
        ("#!/opt/unknown", None), ("# no", None), ("#!", None),
    ],
)  # fmt: skip
def test_the_first_line_gives_the_language_of_a_script(line: str, language: str | None) -> None:
    assert interpreter_language(line) == language


@pytest.mark.parametrize(
    ("content", "state", "language"),
    [
        (b"a\0b", "binary", "Binary"),
        (b"\xff\xfea\0\n\0", "read", "Other text"),
        (b"caf\xe9\n", "read", "Other text"),
        (b"#!/bin/sh\n", "read", "Bash"),
        (b"", "read", "Other text"),
        (b"x" * (LARGEST_READ_BYTES + 1), "too large", "Other text"),
    ],
)
def test_a_file_that_cannot_be_read_has_a_state_that_explains_why(
    tmp_path: Path, content: bytes, state: str, language: str
) -> None:
    plant(tmp_path, {"file": content})
    found = read_file(tmp_path, FoundFile("file", len(content)))
    assert (found.state, found.language) == (state, language)


def test_a_file_that_became_a_link_or_went_away_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(plant(tmp_path, {"a.py": "x = 1\n"}) / "a.py")
    assert read_file(tmp_path, FoundFile("link.py", 6)).state == "unreadable"
    assert read_file(tmp_path, FoundFile("gone.py", 6)).state == "unreadable"


def test_line_ends_of_all_systems_give_the_same_counts(tmp_path: Path) -> None:
    plant(tmp_path, {"a.py": b"x = 1\r\n# c\r\n\r\n", "b.py": b"x = 1\r# c\r\r"})
    first, second = (read_file(tmp_path, FoundFile(name, 1)).lines for name in ("a.py", "b.py"))
    assert first == second and (first.code, first.comment, first.blank) == (1, 1, 1)


def test_todo_notes_are_found_in_comments_only(tmp_path: Path) -> None:
    text = "# TODO: one\nx = 'TODO no'\ny = 1  # FIXME(me) two\nTODOS = 3\n"
    plant(tmp_path, {"a.py": text, "b.js": "/* TODO three */\nlet s = 'TODO';\n"})
    notes = read_file(tmp_path, FoundFile("a.py", 1)).todos
    assert [(n.line, n.tag, n.text) for n in notes] == [
        (1, "TODO", "one"),
        (3, "FIXME", "(me) two"),
    ]
    assert [n.text for n in read_file(tmp_path, FoundFile("b.js", 1)).todos] == ["three"]


def test_text_about_todo_notes_is_no_todo_note(tmp_path: Path) -> None:
    lines = [
        "# See the TODO list, and the FIXME notes.",
        "x = 1  # remove this; TODO: later",
        "# (TODO) brackets",
        "#TODO(ann): named",
        "'''Documentation that names TODO and FIXME.'''",
    ]
    plant(tmp_path, {"a.py": "\n".join(lines) + "\n"})
    notes = read_file(tmp_path, FoundFile("a.py", 1)).todos
    assert [(n.line, n.text) for n in notes] == [(2, "later"), (3, ") brackets"), (4, "named")]


def test_python_modules_are_named_by_their_packages(tmp_path: Path) -> None:
    plant(tmp_path, {"src/pkg/__init__.py": "", "src/pkg/inner/mod.py": "", "tool.py": ""})
    assert python_module(tmp_path, "src/pkg/__init__.py") == "pkg"
    assert python_module(tmp_path, "src/pkg/inner/mod.py") == "pkg.inner.mod"
    assert python_module(tmp_path, "tool.py") == "tool"


def test_imports_lead_to_the_files_they_mean() -> None:
    index = ModuleIndex(
        [
            {"path": "src/pkg/__init__.py", "language": "Python", "name": "pkg"},
            {"path": "src/pkg/mod.py", "language": "Python", "name": "pkg.mod"},
            {"path": "tests/__init__.py", "language": "Python", "name": "tests"},
            {"path": "tests/unit/trees.py", "language": "Python", "name": "tests.unit.trees"},
            {"path": "web/a.ts", "language": "TypeScript", "name": ""},
            {"path": "web/lib/index.js", "language": "JavaScript", "name": ""},
            {"path": "c/include/x.h", "language": "C/C++ header", "name": ""},
            {"path": "j/src/org/acme/Thing.java", "language": "Java", "name": ""},
            {"path": "internal/store/store.go", "language": "Go", "name": ""},
        ]
    )
    assert index.targets("t.py", "Python", "pkg", ["mod"]) == {"src/pkg/mod.py"}
    assert index.targets("t.py", "Python", "pkg", ["Name"]) == {"src/pkg/__init__.py"}
    assert index.targets("t.py", "Python", "os", []) == set()
    assert index.targets("tests/unit/test_a.py", "Python", "trees", []) == {"tests/unit/trees.py"}
    assert index.targets("src/pkg/x.py", "Python", "mod", []) == set()
    assert index.targets("web/b.ts", "TypeScript", "./a.js", []) == {"web/a.ts"}
    assert index.targets("web/b.ts", "TypeScript", "./lib", []) == {"web/lib/index.js"}
    assert index.targets("c/m.c", "C", "x.h", []) == {"c/include/x.h"}
    assert index.targets("j/A.java", "Java", "org.acme.Thing", []) == {"j/src/org/acme/Thing.java"}
    assert index.targets("m.go", "Go", "acme.org/p/internal/store", []) == {"internal/store"}
