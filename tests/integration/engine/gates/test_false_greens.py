"""Gates that pass wrongly: by settings of a directory above, or because no test ran."""

import json
from shutil import which

import pytest

from orchestrator.core.gates.gate_decision import LOST, NONE_LEFT
from tests.integration.engine.gates.conftest import PLAIN, MakeProject, gates, reasons
from tests.integration.engine.gates.test_altered_judges import BREAK, TEST
from tests.support.examples import nightly
from tests.support.project import edit

#: Settings like those of the product's folder: without the plugin, pytest ends with "Unknown config
#: option".
FOLDER = "[tool.pytest.ini_options]\naddopts = '--strict-config'\nno_such_option = 120\n"


def test_pytest_without_settings_does_not_find_those_of_the_folder(
    make_project: MakeProject,
) -> None:
    files = {"app.py": "def one():\n    return 1\n", "tests/__init__.py": ""}
    site, project = make_project({**files, "tests/test_app.py": TEST, ".gitignore": "product/\n"})
    project.write("product/pyproject.toml", FOLDER)

    good = site.run("x", [edit("echo '# a note' >> app.py")])
    bad = site.run("y", [edit(BREAK)])

    assert good["status"] == "completed", reasons(good)
    assert gates(site, good)["pytest"]["outcome"] == "passed"
    assert gates(site, good)["pytest"]["tests"] == 1
    assert bad["status"] == "failed", bad
    assert "test_one" in reasons(bad)[0]


@pytest.mark.nightly
@pytest.mark.skipif(not which("npm"), reason="npm is not installed")
def test_a_script_of_npm_that_runs_no_test_has_not_passed(make_project: MakeProject) -> None:
    package = json.dumps({"name": "x", "scripts": {"test": "node --test"}})
    site, _ = make_project({"package.json": package, "one.js": "module.exports = 1\n"})
    change = edit("echo 'module.exports = 2' > one.js")

    detected = site.run("x", [change])
    requested = site.run("y", [change], gates=["npm-test"])

    found = gates(site, detected)["npm-test"]
    assert (found["outcome"], found["cause"]) == ("did_not_run", "no_tests"), found
    why = "not judged: gate npm-test did not run: no tests found"
    assert (detected["status"], detected["reason"]) == ("completed", why)
    assert requested["status"] == "failed"
    assert reasons(requested) == ["gate npm-test did not run: no tests found"]


SKIPS = {
    "pytest.ini": f"[pytest]\naddopts = {PLAIN}\n",
    "pkg/__init__.py": "",
    "pkg/ext.py": "import json\n\nNAMES = ['a', 'b']\n\n\ndef add(a, b):\n    return a + b\n",
    "tests/__init__.py": "",
    "tests/test_ext.py": (
        "import pytest\n\next = pytest.importorskip('pkg.ext')\n\n\n"
        "def test_add():\n    assert ext.add(1, 2) == 3\n\n\n"
        "@pytest.mark.parametrize('name', ext.NAMES)\ndef test_name(name):\n    assert name\n"
    ),
    "tests/test_other.py": (
        "import pytest\n\n\ndef test_other():\n    pass\n\n\n"
        "@pytest.mark.skip\ndef test_left():\n    assert 0\n"
    ),
}


@pytest.mark.nightly
def test_product_code_that_makes_tests_skip_has_not_passed(make_project: MakeProject) -> None:
    site, _ = make_project(SKIPS)
    scripts = [
        "sed -i 's/import json/import jsom/; s/a + b/a - b/' pkg/ext.py",
        "sed -i 's/return a + b/import unittest; raise unittest.SkipTest/' pkg/ext.py",
        "sed -i 's/NAMES = .*/NAMES = []/' pkg/ext.py",
        """sed -i "s/'a', 'b'/'b'/; s/import json/import re/" pkg/ext.py""",
    ]

    ended = site.run("x", [edit(each) for each in scripts])

    found = [gates(site, ended, number)["pytest"] for number in range(len(scripts))]
    names = ["test_add", "test_name[a]", "test_name[b]"]
    lost = [f"tests.test_ext::{each}: {LOST}" for each in names]
    assert [each["failures"] for each in found] == [lost, lost[:1], lost[1:], []]
    assert [each["outcome"] for each in found] == ["failed"] * 3 + ["passed"]
    assert [each["tests"] for each in found] == [1, 3, 2, 3]


def test_product_code_that_ends_the_test_runner_has_not_passed(make_project: MakeProject) -> None:
    files = {"app.py": "def one():\n    return 1\n", "tests/__init__.py": ""}
    site, _ = make_project({**files, "tests/test_app.py": TEST})

    ended = site.run("x", [edit("echo 'import os; os._exit(0)' > app.py")], gates=["pytest -q"])

    assert ended["status"] == "failed", ended
    assert reasons(ended)[0].startswith(f"gate pytest-q failed: {NONE_LEFT}; "), ended


@pytest.mark.skipif(not which("node"), reason="node is not installed")
def test_node_code_that_exits_before_the_tests_begin_has_not_passed(
    make_project: MakeProject,
) -> None:
    test = "const {test} = require('node:test');\nrequire('./one.js');\ntest('one', () => {});\n"
    site, _ = make_project({"one.js": "module.exports = 1\n", "one.test.js": test})
    change = edit("echo 'process.exit(0)' >> one.js", retries=0)

    detected = site.run("x", [change])
    command = site.run("y", [change], gates=["node --test"])

    early = "the test file ended before its tests began"
    assert reasons(detected)[0].startswith(f"gate node-test failed: test::one.test.js: {early}")
    assert early in reasons(command)[0]
    assert (detected["status"], command["status"]) == ("failed", "failed")


@pytest.mark.parametrize("gates", [[], *nightly(["pytest -q"])], ids=["report", "command"])
def test_a_new_test_that_stops_pytest_does_not_hide_the_tests_after_it(
    make_project: MakeProject, gates: list[str]
) -> None:
    files = {"app.py": "def one():\n    return 1\n", "tests/__init__.py": ""}
    site, _ = make_project({**files, "tests/test_app.py": TEST})
    first = "import pytest\n\n\ndef test_0(): pass\n\n\n"
    stop = f"{first}def test_a(): pytest.exit('done', returncode=0)\n"
    script = f"{BREAK}; cat > tests/test_a.py <<'END'\n{stop}END"

    ended = site.run("x", [edit(script, retries=0)], **({"gates": gates} if gates else {}))

    assert ended["status"] == "failed", ended
    assert "pytest stopped before all tests had run" in reasons(ended)[0]
