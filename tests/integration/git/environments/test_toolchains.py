"""Installed packages that link to the user's checkout: workers and gates use the worktree."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess
from tests.support.examples import nightly
from tests.support.programs import require_programs, skip_or_fail
from tests.support.project import Project, agents, edit

#: The first test waits until pip has downloaded the packages, which may take minutes.
DOWNLOAD_SECONDS = 300
pytestmark = pytest.mark.timeout(DOWNLOAD_SECONDS + 120)

BREAK = "sed -i 's/a + b/a - b/' "
CALC = "def add(a, b):\n    return a + b\n"
TESTS = "from calc import add\n\n\ndef test_add():\n    assert add(2, 2) == 4 and add(1, 2) == 3\n"
BACKENDS = {
    "setuptools": 'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
    "hatch": 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    "poetry": 'requires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n',
    "uv": 'requires = ["uv_build"]\nbuild-backend = "uv_build"\n',
    "flit": 'requires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n',
}
PACKAGES = ("setuptools", "wheel", "hatchling", "editables", "poetry-core", "uv_build", "flit_core")
UNIT = [{"name": "unit", "run": "pytest -q -p no:cacheprovider tests", "baseline": "none"}]
#: On a build server, package managers refuse to write a lock file, which the first install does.
OUTSIDE_CI = {name: value for name, value in os.environ.items() if name != "CI"}
IGNORED = ".venv/\nnode_modules/\n__pycache__/\n"


def manifest(backend: str, name: str = "calc") -> str:
    meta = f'[project]\nname = "{name}"\nversion = "0.1"\ndescription = "x"\n'
    return f"[build-system]\n{BACKENDS[backend]}\n{meta}"


def succeed(*command: str, cwd: Path, path: str = os.defpath) -> None:
    ran = subprocess.run(
        command,
        cwd=cwd,
        env=OUTSIDE_CI | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages that build packages, downloaded by pip."""
    place = tmp_path_factory.mktemp("backends")
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(place), *PACKAGES]
    if subprocess.run(
        command, capture_output=True, check=False, timeout=DOWNLOAD_SECONDS
    ).returncode:
        skip_or_fail("pip cannot install what builds packages")
    return place


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> Callable[..., tuple[InProcess, Project]]:
    def make(
        files: dict[str, str], prepare: Callable[[Project], object]
    ) -> tuple[InProcess, Project]:
        """Create a project. ``prepare`` installs packages before the folder is in the project."""
        project = Project(tmp_path / "project").begin({".gitignore": IGNORED, **files})
        prepare(project)
        workspace = project.path / "product" / "workspace"
        settings = {"project_root": str(project.path), "workspace_root": str(workspace)}
        site = make_site(orchestrator=settings, agents=agents(tmp_path))
        site.workspace = workspace
        return site, project

    return make


def environment(project: Project, backends: Path, *sources: str, at: str = ".venv") -> Path:
    """A virtual environment with pytest, and the project's packages as editable installations."""
    place = (project.path / at).resolve()
    succeed(sys.executable, "-m", "venv", "--without-pip", str(place), cwd=project.path)
    [packages] = place.glob("lib/python*/site-packages")
    shared = [each for each in sys.path if each.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join([str(backends), *shared]))
    program = place / "bin" / "pytest"
    program.write_text(
        f"#!{place}/bin/python\nimport os\n"
        # Loading this environment's plugins takes longer than all tests.
        "os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'\n"
        "import pytest\nraise SystemExit(pytest.main())\n"
    )
    program.chmod(0o755)
    pip = (sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"))
    for source in sources:
        how = ("--no-deps", "--no-build-isolation", "-q", "-e", str(project.path / source))
        succeed(*pip, "install", *how, cwd=project.path, path=f"{backends}/bin")
    return place


def gate(site: InProcess, ended: Answer, name: str = "unit") -> Answer:
    [found] = [
        each
        for each in site.get(f"/jobs/{ended['job_id']}")["workers"][0]["gates"]
        if each["name"] == name
    ]
    return dict(found)


LAYOUTS = {
    "setuptools src": ("setuptools", "src/calc/__init__.py"),
    "setuptools flat": ("setuptools", "calc/__init__.py"),
    "setuptools one module": ("setuptools", "calc.py"),
    "hatch src": ("hatch", "src/calc/__init__.py"),
    "hatch flat": ("hatch", "calc/__init__.py"),
    "poetry flat": ("poetry", "calc/__init__.py"),
    "uv src": ("uv", "src/calc/__init__.py"),
    "flit flat": ("flit", "calc/__init__.py"),
}


#: An editable install leads to the checkout by a finder, or by a path.
BY_DAY = ("setuptools flat",)


@pytest.mark.parametrize(
    "layout",
    [pytest.param(name, marks=[] if name in BY_DAY else pytest.mark.nightly) for name in LAYOUTS],
)
def test_a_gate_tests_the_worktree_and_not_an_editable_install(
    layout: str, make_project: Any, backends: Path
) -> None:
    backend, source = LAYOUTS[layout]
    files = {source: CALC, "tests/test_calc.py": TESTS, "pyproject.toml": manifest(backend)}
    if source == "calc.py":
        files["pyproject.toml"] += '[tool.setuptools]\npy-modules = ["calc"]\n'
    site, _project = make_project(files, lambda each: environment(each, backends, "."))

    broken = site.run("x", [edit(BREAK + source)], gates=UNIT)
    removed = site.run("x", [edit(f"git rm -q {source}; echo x > x")], gates=UNIT)
    sound = site.run("x", [edit(f"echo '# sound' >> {source}")], gates=UNIT)

    assert gate(site, broken)["outcome"] == "failed", gate(site, broken)
    assert "calc" in gate(site, removed)["output"]
    assert gate(site, removed)["outcome"] == "failed", gate(site, removed)
    assert gate(site, sound)["outcome"] == "passed", gate(site, sound)


NOXFILE = """\
import nox


@nox.session
def tests(session):
    session.run("pytest", "-q", "tests", external=True)
"""
#: Test runners of the project's environment.
RUNNERS = {
    "uv": "uv run --no-sync pytest -q tests",
    "poetry": "poetry run pytest -q tests",
    "pdm": "pdm run pytest -q tests",
    "nox": "nox --no-venv --session tests",
}
#: Nightly, because it is slow, and similar to other managers.
AT_NIGHT = ("poetry", "pdm")


@pytest.mark.nightly
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "runner",
    [
        pytest.param(
            name,
            marks=[pytest.mark.needs(name), *([pytest.mark.nightly] if name in AT_NIGHT else [])],
        )
        for name in RUNNERS
    ],
)
def test_what_runs_programs_of_the_environment_runs_the_worktrees(
    runner: str, make_project: Any, backends: Path
) -> None:
    files = {
        "src/calc/__init__.py": CALC,
        "tests/test_calc.py": TESTS,
        "pyproject.toml": manifest("setuptools"),
        "noxfile.py": NOXFILE,
    }
    site, _project = make_project(files, lambda each: environment(each, backends, "."))
    gates = [{"name": "unit", "run": RUNNERS[runner], "baseline": "none"}]

    broken = site.run("x", [edit(f"{BREAK} src/calc/__init__.py")], gates=gates)
    sound = site.run("x", [edit("echo '# sound' >> src/calc/__init__.py")], gates=gates)

    assert gate(site, broken)["outcome"] == "failed", gate(site, broken)
    assert "1 failed" in gate(site, broken)["output"]
    assert gate(site, sound)["outcome"] == "passed", gate(site, sound)


@pytest.mark.nightly
def test_packages_of_a_monorepo_are_the_worktrees(make_project: Any, backends: Path) -> None:
    files = {
        "packages/calc/src/calc/__init__.py": CALC,
        "packages/calc/pyproject.toml": manifest("setuptools"),
        "packages/app/app/__init__.py": "from calc import add\n",
        "packages/app/pyproject.toml": manifest("hatch", "app"),
        "tests/test_calc.py": TESTS.replace("from calc", "from app"),
    }
    site, _project = make_project(
        files, lambda each: environment(each, backends, "packages/calc", "packages/app")
    )

    ended = site.run("x", [edit(f"{BREAK} packages/calc/src/calc/__init__.py")], gates=UNIT)

    assert gate(site, ended)["outcome"] == "failed", gate(site, ended)


def test_a_worker_runs_the_projects_tools_on_its_worktree(
    make_project: Any, backends: Path
) -> None:
    files = {
        "src/calc/__init__.py": CALC,
        "pyproject.toml": manifest("setuptools"),
        "tests/test_calc.py": TESTS,
    }
    site, project = make_project(files, lambda each: environment(each, backends, "."))
    script = "python -c 'import calc; print(calc.__file__)'; which pytest; pytest -q; echo $?"

    ended = site.run("x", [edit(f"{BREAK} src/calc/__init__.py\n{script}")], gates=[])

    log = site.log(ended["job_id"], "worker_1")
    assert "/worker_1/worktree/src/calc/__init__.py" in log
    assert "/worker_1/worktree/.venv/bin/pytest" in log
    assert "1 failed" in log
    assert project.git("status", "--porcelain") == "?? product/" or not project.git("status", "-s")
    assert project.files(f"orchestrator/{ended['job_id']}/worker_1") == sorted(
        [".gitignore", *files]
    )


def test_programs_that_a_worker_installs_do_not_replace_gates(
    make_project: Any, backends: Path
) -> None:
    files = {
        "src/calc/__init__.py": CALC,
        "pyproject.toml": manifest("setuptools"),
        "tests/test_calc.py": TESTS,
    }
    site, _project = make_project(files, lambda each: environment(each, backends, "."))
    fake = (
        "printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/pytest; "
        "cd .venv/lib/python*/site-packages; mkdir pytest; echo 'main = int' > pytest/__init__.py"
    )
    ended = site.run("x", [edit(f"{BREAK} src/calc/__init__.py\n{fake}")], gates=UNIT)

    assert gate(site, ended)["outcome"] == "failed", gate(site, ended)


@pytest.mark.nightly
def test_what_is_installed_in_a_worktree_stays_there(make_project: Any, backends: Path) -> None:
    """Gates find a package that the worker adds. The user's environment does not change."""
    files = {
        "src/calc/__init__.py": CALC,
        "pyproject.toml": manifest("setuptools"),
        "tests/test_calc.py": f"import added\n{TESTS}",
    }
    site, project = make_project(files, lambda each: environment(each, backends, "."))
    place = project.path / ".venv"
    before = sorted(str(each) for each in place.rglob("*") if "__pycache__" not in str(each))
    install = "echo 'x = 1' > $(python -c 'import site; print(site.getsitepackages()[0])')/added.py"

    ended = site.run("x", [edit(f"{install}\necho x > x")], gates=UNIT)

    assert gate(site, ended)["outcome"] == "passed", gate(site, ended)
    after = sorted(str(each) for each in place.rglob("*") if "__pycache__" not in str(each))
    assert after == before


@pytest.mark.nightly
def test_an_environment_elsewhere_that_leads_to_the_checkout_is_derived(
    make_project: Any, backends: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poetry and hatch use such environments. They are active in the server's shell."""
    monkeypatch.setenv("PATH", f"{tmp_path}/outside/bin{os.pathsep}{os.environ['PATH']}")
    files = {
        "src/calc/__init__.py": CALC,
        "pyproject.toml": manifest("poetry"),
        "tests/test_calc.py": TESTS,
    }
    site, _project = make_project(
        files, lambda each: environment(each, backends, ".", at="../outside")
    )

    ended = site.run("x", [edit(f"{BREAK} src/calc/__init__.py\npytest -q || true")], gates=UNIT)

    assert gate(site, ended)["outcome"] == "failed", gate(site, ended)
    assert "1 failed" in site.log(ended["job_id"], "worker_1")


def test_a_gate_that_read_the_checkout_did_not_run(make_project: Any, backends: Path) -> None:
    files = {
        "src/calc/__init__.py": CALC,
        "pyproject.toml": manifest("setuptools"),
        "tests/test_calc.py": TESTS,
    }
    site, project = make_project(files, lambda each: environment(each, backends))
    # A worker of xdist imports the file, and reports this when it exits.
    run = f"PYTHONPATH={project.path}/src:$PYTHONPATH pytest -q -p xdist -n 1 tests"

    ended = site.run(
        "x", [edit(f"{BREAK} src/calc/__init__.py")], gates=[{"name": "unit", "run": run}]
    )

    found = gate(site, ended)
    assert (found["outcome"], found["cause"]) == ("did_not_run", "outside_worktree"), found
    assert "imports calc from the user's checkout" in found["note"]


OWN_PATH = {
    "unit": "PYTHONPATH=src pytest -q -p no:cacheprovider tests",
    "isolated": "python -I .venv/bin/pytest -q -p no:cacheprovider tests "
    '--junitxml="$ORCHESTRATOR_GATE_REPORT"',
}


@pytest.mark.nightly
def test_a_gate_with_a_python_path_of_its_own_runs(make_project: Any, backends: Path) -> None:
    """Only the report of the gate's imports is missing."""
    files = {
        "src/calc.py": CALC,
        "pytest.ini": "[pytest]\npythonpath = src\n",
        "tests/test_calc.py": TESTS,
    }
    site, _project = make_project(files, lambda each: environment(each, backends))
    gates = [{"name": name, "run": run} for name, run in OWN_PATH.items()]
    gates[1] |= {"report": "junit", "required": True}

    good = site.run("good", [edit("echo >> src/calc.py")], gates=gates)
    bad = site.run("bad", [edit(f"{BREAK} src/calc.py", retries=0)], gates=gates)

    for ended, outcome in ((good, "passed"), (bad, "failed")):
        found = [gate(site, ended, name) for name in OWN_PATH]
        assert [each["outcome"] for each in found] == [outcome] * 2, found


NODE = {
    "package.json": json.dumps({"name": "root", "private": True, "workspaces": ["packages/*"]}),
    "packages/lib/package.json": json.dumps(
        {"name": "lib", "version": "1.0.0", "main": "index.js", "bin": {"lib-cli": "cli.js"}}
    ),
    "packages/lib/index.js": "exports.add = (a, b) => a + b\n",
    "packages/lib/cli.js": "#!/usr/bin/env node\nprocess.exit(require('./index').add(1, 2) - 3)\n",
    "packages/app/test.js": "process.exit(require('lib').add(1, 2) - 3)\n",
}
MANAGERS: dict[str, tuple[str, dict[str, str]]] = {
    "npm": ("npm install --offline --no-audit", {"lib": "*"}),
    "pnpm": ("pnpm install --offline", {"lib": "workspace:*"}),
    "yarn": ("yarn install", {"lib": "workspace:*"}),
}


@pytest.mark.parametrize("manager", ["npm", *nightly("pnpm", "yarn")])
def test_a_workspace_of_a_package_manager_is_the_worktrees(
    manager: str, make_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs(monkeypatch, manager)
    command, wants = MANAGERS[manager]
    app = {"name": "app", "version": "1.0.0", "dependencies": wants}
    more = {
        "packages/app/package.json": json.dumps(app),
        "pnpm-workspace.yaml": "packages: ['packages/*']\n",
        ".yarnrc.yml": "nodeLinker: node-modules\nenableTelemetry: false\n",
        ".gitignore": f"{IGNORED}.yarn/\n",
    }

    def install(project: Project) -> None:
        (project.path / "packages/lib/cli.js").chmod(0o755)
        succeed("bash", "-c", command, cwd=project.path)
        project.git("add", "--all")
        project.git("commit", "-q", "-m", "installed")

    site, _ = make_project({**NODE, **more, "yarn.lock": ""}, install)
    gates = [{"name": "unit", "run": "node packages/app/test.js", "baseline": "none"}]
    script = f"{BREAK} packages/lib/index.js; node packages/app/test.js || echo worker: broken"

    broken = site.run("x", [edit(script)], gates=gates)
    sound = site.run("x", [edit("echo '// sound' >> packages/lib/index.js")], gates=gates)

    assert gate(site, broken)["outcome"] == "failed", gate(site, broken)
    assert "worker: broken" in site.log(broken["job_id"], "worker_1")
    assert gate(site, sound)["outcome"] == "passed", gate(site, sound)
    if manager == "npm":  # a program of the project itself
        by_program = [{"name": "unit", "run": "lib-cli", "baseline": "none"}]
        again = site.run("y", [edit(f"{BREAK} packages/lib/index.js")], gates=by_program)
        assert gate(site, again)["outcome"] == "failed", gate(site, again)


@pytest.mark.nightly
@pytest.mark.needs("yarn")
@pytest.mark.parametrize("is_committed", [True, *nightly(False)])
def test_yarn_without_node_modules_reads_the_worktree_or_does_not_run(
    is_committed: bool, make_project: Any
) -> None:
    """Plug'n'Play: ``.pnp.cjs`` has the paths of the packages. The file is committed or ignored."""
    app = {"name": "app", "version": "1.0.0", "dependencies": {"lib": "workspace:*"}}
    more = {
        "packages/app/package.json": json.dumps(app),
        ".yarnrc.yml": "enableTelemetry: false\n",
        ".gitignore": f"{IGNORED}.yarn/\n" + ("" if is_committed else ".pnp.cjs\n"),
    }

    def install(project: Project) -> None:
        succeed("bash", "-c", "yarn install", cwd=project.path)
        project.git("add", "--all")
        project.git("commit", "-q", "-m", "installed")

    site, _ = make_project({**NODE, **more, "yarn.lock": ""}, install)
    gates = [{"name": "unit", "run": "cd packages/app && yarn node test.js"}]

    broken = site.run("x", [edit(f"{BREAK} packages/lib/index.js")], gates=gates)
    sound = site.run("x", [edit("echo '// sound' >> packages/lib/index.js")], gates=gates)

    found = gate(site, broken)["outcome"], gate(site, sound)["outcome"]
    expected = ("failed", "passed") if is_committed else ("did_not_run", "did_not_run")
    assert found == expected, (gate(site, broken), gate(site, sound))
