"""Dependencies, configuration, history, matches, and the result as a file."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.agents.survey.analysis.churn import COUNTED_COMMITS, NO_HISTORY
from orchestrator.agents.survey.analysis.manifests import config_kind, is_manifest, read_manifest
from orchestrator.agents.survey.analysis.result import (
    DependencyRow,
    EntryPointRow,
    SurveyResult,
    read_result,
    to_json,
    write_result,
)
from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.report.markdown import code, table
from orchestrator.agents.survey.report.request_match import find_matches, matching_dependencies
from orchestrator.agents.survey.report.survey_report import render
from tests.unit.agents.survey.trees import commit, git, plant, survey_paths

#: Path, text, dependencies as (name, version, group), entry points as (name, target).
MANIFESTS = [
    ("pyproject.toml",
     '[project]\ndependencies=["flask>=3", "a[x] ; python_version<\'3\'"]\n[project.scripts]\n'
     'run="pkg:main"\n[dependency-groups]\ntest=["pytest", {include-group="x"}]\n',
     {("flask", ">=3", ""), ("a", "", ""), ("pytest", "", "test")}, {("run", "pkg:main")}),
    ("setup.cfg",
     "[options]\ninstall_requires =\n  six>=1\n"
     "[options.entry_points]\nconsole_scripts =\n  r = m:f\n",
     {("six", ">=1", "")}, {("r", "m:f")}),
    ("requirements-dev.txt", "# c\n-r x.txt\nblack==24.1  # why\n\ngit+https://x\n",
     {("black", "==24.1", "requirements-dev")}, set()),
    ("requirements.txt", "six==1.16 \\\n  --hash=sha256:0a1b \\\n  --hash=sha256:2c\nattrs \\\n",
     {("six", "==1.16", "requirements"), ("attrs", "", "requirements")}, set()),
    ("package.json",
     '{"name":"n","bin":"b.js","scripts":{"t":"jest"},"dependencies":{"r":"^1"},'
     '"devDependencies":{"j":"2"}}',
     {("r", "^1", ""), ("j", "2", "dev")}, {("n", "b.js"), ("t", "jest")}),
    ("Cargo.toml", '[dependencies]\nserde={version="1"}\nx="2"\n[[bin]]\nname="b"\npath="s.rs"\n',
     {("serde", "1", ""), ("x", "2", "")}, {("b", "s.rs")}),
    ("go.mod", "module m\nrequire a.b/c v1.2.3\nrequire (\n\td.e/f v0.1.0 // indirect\n)\n",
     {("a.b/c", "v1.2.3", ""), ("d.e/f", "v0.1.0", "")}, set()),
    ("pom.xml",
     "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId>"
     "<version>1</version><scope>test</scope></dependency></dependencies></project>",
     {("g:a", "1", "test")}, set()),
    ("Gemfile", "gem 'rails', '~> 7'\ngem \"pg\"\n",
     {("rails", "~> 7", ""), ("pg", "", "")}, set()),
    ("composer.json", '{"require":{"php":">=8"}}', {("php", ">=8", "")}, set()),
    ("a.csproj", '<PackageReference Include="N" Version="1" />', {("N", "1", "")}, set()),
    ("Dockerfile", "FROM python:3.12\nCMD [\"run\"]\n", {("python", "3.12", "")},
     {("CMD", '["run"]')}),
    ("Procfile", "web: gunicorn app\n", set(), {("web", "gunicorn app")}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "dependencies", "entry_points"), MANIFESTS)
def test_manifests_name_dependencies_and_entry_points(
    path: str,
    text: str,
    dependencies: set[tuple[str, str, str]],
    entry_points: set[tuple[str, str]],
) -> None:
    rows = read_manifest(f"sub/{path}", text)
    found = {(r.name, r.version, r.group) for r in rows if isinstance(r, DependencyRow)}
    assert found == dependencies
    named = {(r.name, r.target) for r in rows if isinstance(r, EntryPointRow)}
    assert named == entry_points


@pytest.mark.parametrize("path", [path for path, *_ in MANIFESTS])
@pytest.mark.parametrize("text", ["", "{", "[]", "[project]\ndependencies=3\n", "\0", "<a", "3"])
def test_a_malformed_manifest_names_nothing_or_little(path: str, text: str) -> None:
    assert len(read_manifest(path, text)) <= 1


def test_entities_of_a_hostile_pom_are_not_expanded() -> None:
    bomb = '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><project>&b;</project>'
    assert read_manifest("pom.xml", bomb) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".github/workflows/ci.yml", "continuous integration"),
        ("a/pyproject.toml", "build and dependencies"),
        ("uv.lock", "lock file"),
        ("docker-compose.yml", "container"),
        ("Makefile", "tasks"),
        ("src/tsconfig.json", "code style and types"),
        ("a/b.ini", "settings"),
        ("src/data.json", None),
        ("src/app.py", None),
    ],
)
def test_configuration_files_are_known_by_their_names(path: str, kind: str | None) -> None:
    assert config_kind(path) == kind


def test_sources_are_no_manifests() -> None:
    assert not is_manifest("src/app.py")


def test_churn_counts_each_change_of_each_file_and_who_made_it(tmp_path: Path) -> None:
    odd = os.fsdecode(b"sp ace\xff\n.py")
    git(plant(tmp_path, {"a.py": "1\n2\n", odd: "1\n", "gone.py": "1\n"}), "init", "-q")
    commit(tmp_path, author="Ada")
    (tmp_path / "gone.py").unlink()
    commit(plant(tmp_path, {"a.py": "1\n3\n4\n"}), author="Grace | H")
    result = survey_paths(tmp_path)
    churn = {row.path: (row.changes, row.added, row.deleted) for row in result.churn}
    assert churn == {"a.py": (2, 4, 1), "sp ace\\xff\n.py": (1, 1, 0)}
    owners = {name: (owner.changes, owner.lines) for name, owner in result.owners.items()}
    assert owners == {"Ada": (2, 3), "Grace | H": (1, 2)}
    assert [row.path for row in survey_paths(tmp_path, "a.py").churn] == ["a.py"]


def test_without_commits_or_repository_churn_is_unknown(
    tmp_path: Path,
) -> None:
    plant(tmp_path, {"a.py": "x = 1\n"})
    assert survey_paths(tmp_path).churn_note == NO_HISTORY
    git(tmp_path, "init", "-q")
    result = survey_paths(tmp_path)
    assert result.churn_note == NO_HISTORY
    assert "Unknown: no git history." in render(result, "p")


def test_files_without_a_commit_are_reported_as_unchanged(tmp_path: Path) -> None:
    git(plant(tmp_path, {"a.py": "x = 1\n"}), "init", "-q")
    commit(tmp_path)
    result = survey_paths(plant(tmp_path, {"new/b.py": "x = 1\n"}), "new")
    assert result.churn == []
    assert f"No commit changed these files. Counted: {COUNTED_COMMITS}." in render(result, "p")


def test_programs_in_the_git_configuration_are_not_run(tmp_path: Path) -> None:
    program = plant(tmp_path, {"evil.sh": "#!/bin/sh\ntouch ran\n"}) / "evil.sh"
    program.chmod(0o755)
    root = plant(tmp_path / "p", {"a.py": "x = 1\n", ".gitattributes": "*.py diff=evil\n"})
    git(root, "init", "-q")
    commit(root)
    for key in ("core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command"):
        git(root, "config", key, str(program))
    assert survey_paths(root).churn
    assert not list(tmp_path.rglob("ran"))


def test_a_script_in_the_same_directory_is_no_external_package(tmp_path: Path) -> None:
    plant(tmp_path, {"tests/__init__.py": "", "tests/unit/trees.py": "A = 1\n"})
    plant(tmp_path, {"tests/unit/test_a.py": "import pytest\nfrom trees import A\n"})
    plant(tmp_path, {"tests/celery.py": "from celery import Celery\n"})
    report = "\n".join(render(survey_paths(tmp_path), "it"))
    elsewhere = report.partition("## Imports of external packages")[2].partition("##")[0]
    assert "`pytest`" in elsewhere and "`celery`" in elsewhere and "`trees`" not in elsewhere


def test_the_report_of_an_empty_project_has_no_empty_tables(tmp_path: Path) -> None:
    title, _, text, *rest = render(survey_paths(plant(tmp_path, {})), "`tools`")
    assert title == "# Nothing to survey in `tools`"
    assert "orchestrator.project_root" in text and not rest


def test_matches_name_the_files_that_a_task_concerns_and_why(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "accounts/login.py": "def sign_in(): ...\n",
            "web/middleware.py": "class SessionMiddleware: ...\n",
            "web/start.ts": "import { Token } from './tokens'\n",
            "maths.py": "def area(): ...\n",
            "requirements.txt": "pyjwt\npython-oauth2\nnumpy\n",
        },
    )
    result = survey_paths(tmp_path)
    matches = find_matches(result, "authentication")
    assert [row.path for row in matches] == [
        *("accounts/login.py", "web/middleware.py", "web/start.ts"),
    ]
    assert matches[0].reasons == ["path contains 'login'"]
    assert matches[1].reasons == ["defines SessionMiddleware"]
    assert matching_dependencies(result, "authentication") == ["python-oauth2"]
    assert find_matches(result, "quantum teleportation") == []
    assert find_matches(result, "") == []


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    git(plant(tmp_path / "p", {"a.py": "import os\n# TODO x\n", "b.po": "m\n"}), "init", "-q")
    commit(tmp_path / "p")
    result = survey_paths(tmp_path / "p")
    write_result(result, tmp_path)
    assert to_json(read_result(tmp_path)) == to_json(result)


def test_results_of_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    plant(tmp_path, {"a/m.py": "x = 1\n", "b/n.py": "# c\n\n", "b/o.js": "f();\n", "top.py": "y\n"})
    merged = survey_paths(tmp_path, "*")
    for part in ("a", "b"):
        merged.absorb(survey_paths(tmp_path, part))
    merged.sort()
    whole = to_json(survey_paths(tmp_path))
    assert to_json(merged) | {"surveyed": []} == whole


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "churn": 3}', "\udcff"],
)
def test_an_invalid_result_is_rejected(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SurveyError):
        read_result(tmp_path)


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    content = to_json(SurveyResult())
    content["later"] = 1
    content["totals"] = {**content["totals"], "later": 2}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert to_json(read_result(tmp_path)) == to_json(SurveyResult())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("a\nb", "`a\\nb`"),
        ("\u202e", "`\\u202e`"),
        ("", "` `"),
        ("x" * 500, "`" + "x" * 157 + "...`"),
    ],
)
def test_foreign_text_becomes_an_inert_code_span(text: str, expected: str) -> None:
    assert code(text) == expected


def test_tables_keep_their_columns_whatever_a_cell_holds() -> None:
    lines = table(("A", "B"), [(code("x|y"), 1234)])
    assert lines == ["| A | B |", "| --- | ---: |", "| `x\\|y` | 1,234 |"]


def test_a_language_with_a_tiny_share_is_no_main_language(tmp_path: Path) -> None:
    result = survey_paths(plant(tmp_path, {"a.py": "x = 1\n" * 500, "b.sh": "true\n"}))

    assert render(result, "it")[2].startswith(
        "**2 files, 501 lines of code in 2 languages**: Python 99 %."
    )


def test_a_note_explains_why_directories_were_skipped(tmp_path: Path) -> None:
    plant(tmp_path, {"dist/a.py": ""})
    assert survey_paths(tmp_path).notes == [
        "Not a git repository, so these directories were skipped: dist."
    ]
    git(tmp_path, "init", "-q")
    plant(tmp_path, {".gitignore": "*\n"})
    assert survey_paths(tmp_path).notes == [
        "Git lists no files here, so these directories were skipped: dist."
    ]


def test_an_empty_repository_has_no_note(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert survey_paths(tmp_path).notes == []
