"""Tests next to the code are found and run, without any configuration."""

import pytest

from tests.integration.engine.gates.conftest import MakeProject, gates, reasons
from tests.support.project import edit

CORE = "def one():\n    return 1\n"
TEST = "from app.core import one\n\n\ndef test_one():\n    assert one() == 1\n"


PLACES = {
    "app/tests/test_core.py": TEST,
    "app/test_core.py": TEST,
    "app/core_test.py": "import unittest\nfrom app.core import one\n\n\n"
    "class One(unittest.TestCase):\n"
    "    def test_one(self):\n        self.assertEqual(one(), 1)\n",
}


@pytest.mark.parametrize(
    "places",
    [
        pytest.param(tuple(PLACES), id="all"),
        *(pytest.param((place,), id=place, marks=pytest.mark.nightly) for place in PLACES),
    ],
)
def test_python_tests_beside_the_code_judge_it(
    make_project: MakeProject, places: tuple[str, ...]
) -> None:
    files = {"app/__init__.py": "", "app/core.py": CORE, **{each: PLACES[each] for each in places}}
    if "app/tests/test_core.py" in places:
        files["app/tests/__init__.py"] = ""
    site, _ = make_project(files)

    ended = site.run("x", [edit("sed -i s/1/2/ app/core.py")])

    assert ended["status"] == "failed", ended
    assert "gate pytest failed" in reasons(ended)[0]
    assert "test_one" in reasons(ended)[0]
    good = site.run("y", [edit("echo '# a note' >> app/core.py")])
    assert good["status"] == "completed", good
    assert gates(site, good)["pytest"]["tests"] == len(places)


@pytest.mark.needs("node")
def test_tests_of_node_beside_the_code_judge_it(make_project: MakeProject) -> None:
    test = (
        "const test = require('node:test')\nconst assert = require('node:assert')\n"
        "test('one', () => assert.equal(require('./core'), 1))\n"
    )
    site, _ = make_project({"src/core.js": "module.exports = 1\n", "src/core.test.js": test})

    ended = site.run("x", [edit("sed -i s/1/2/ src/core.js")])

    assert ended["status"] == "failed", ended
    assert "gate node-test failed" in reasons(ended)[0]
