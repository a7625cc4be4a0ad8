"""A user's own templates take precedence, and cannot prevent a job's report."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trees
from planted import ROOT, TreeBuilder

from orchestrator.reports import Reports
from tests.support.sources import PACKAGE as SOURCES

DONT_WRITE = "PYTHONDONTWRITEBYTECODE"


def final_result(templates: Path, place: Path) -> str:
    place.mkdir()
    Reports(template_dir=templates).render(trees.retries(), ROOT, place)
    return (place / "FINAL_RESULT.md").read_text()


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    return folder


def test_a_template_of_the_user_replaces_the_built_in_template(
    templates: Path, tmp_path: Path
) -> None:
    (templates / "FINAL_RESULT.md.j2").write_text("{{ job.request | inline }} took a while.")
    assert final_result(templates, tmp_path / "job") == "Download the data took a while.\n"
    assert (tmp_path / "job/depth_0/LEVEL_0_REPORT.md").read_text().startswith("# Level 0")


def test_a_users_template_may_use_the_shipped_parts(templates: Path, tmp_path: Path) -> None:
    (templates / "FINAL_RESULT.md.j2").write_text(
        "{% import '_parts.md.j2' as parts %}{{ parts.workers_table(job.workers, up) }}"
    )
    assert "| [worker_1](depth_0/worker_1/) |" in final_result(templates, tmp_path / "job")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{% if %}", "TemplateSyntaxError"),
        ("{{ no_such_thing }}", "UndefinedError"),
        ("{{ job.no_such_thing }}", "UndefinedError"),
        ("{{ job.__class__.__mro__ }}", "SecurityError"),
        ("{{ ''.__class__ }}", "SecurityError"),
        ("{{ job.workers.clear() }}", "SecurityError"),
        ("{% for i in range(9**9) %}{% endfor %}", "OverflowError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{% include 'none.j2' %}", "TemplateNotFound"),
        ("{% include '../../etc/passwd' %}", "TemplateNotFound"),
        ("{{ 1 | no_such_filter }}", "TemplateAssertionError"),
    ],
)
def test_a_wrong_template_is_reported_and_the_built_in_template_is_used(
    templates: Path, tmp_path: Path, source: str, error: str
) -> None:
    (templates / "FINAL_RESULT.md.j2").write_text(source)
    report = final_result(templates, tmp_path / "job")
    note, _, rest = report.partition("\n\n")
    assert note.startswith("> **Your template `")
    assert "FINAL_RESULT.md.j2" in note
    assert error in note
    assert rest.startswith("# Completed: 3 of 3 tasks succeeded")


def test_a_template_that_is_not_text_is_reported(templates: Path, tmp_path: Path) -> None:
    (templates / "FINAL_RESULT.md.j2").write_bytes(b"\xff\xfe\x00")
    assert "UnicodeDecodeError" in final_result(templates, tmp_path / "job")


def test_a_template_dir_that_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    assert final_result(tmp_path / "none", tmp_path / "job").startswith("# Completed")


def test_text_of_a_worker_is_never_a_template(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("{{ 7 * 7 }}{% raw %}")
    builder.worker(job, "worker_1", trees.TaskSpec(id="{{ 6 * 7 }}"), (0, 1), output="{{ 5 * 7 }}")
    Reports().render(builder.tree, job.id, tmp_path)
    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert "{{ 7 * 7 }}{% raw %}" in report
    assert not {"49", "42", "35"} & set(report.split())


PREPARE = "import jinja2\nfrom orchestrator.reports.template_engine import Templates\n"
COUNTED = """
compiled, compile = [], jinja2.Environment.compile
def counting(*given, **named):
    compiled.append(given)
    return compile(*given, **named)
jinja2.Environment.compile = counting
Templates(None).prepare()
print(len(compiled))
"""


def _compiled(package: Path) -> int:
    """Return the number of templates that a process with this copy of the package compiles."""
    environ = {name: each for name, each in os.environ.items() if name != DONT_WRITE}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PREPARE + COUNTED],
        env={**environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return int(done.stdout)


@pytest.mark.slow
def test_shipped_templates_are_compiled_once_for_all_processes(tmp_path: Path) -> None:
    package = tmp_path / "orchestrator"
    shutil.copytree(SOURCES, package, ignore=shutil.ignore_patterns("__pycache__"))
    sources = package / "reports" / "templates"
    every = len(list(sources.glob("*.j2")))

    assert _compiled(package) == every
    assert _compiled(package) == 0

    with (sources / "job.md.j2").open("a") as template:
        template.write("changed")
    assert _compiled(package) == 1
    for stored in (sources / "__pycache__").iterdir():
        stored.write_bytes(stored.read_bytes()[:100])
    assert _compiled(package) == every
    assert _compiled(package) == 0
    assert len(list((sources / "__pycache__").iterdir())) == every
