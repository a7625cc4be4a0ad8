"""The README's pictures are animated, contain no scripts, and are generated from a real run."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).resolve().parents[2]
PICTURES = FOLDER / "docs" / "pictures"
MOST_BYTES = 150_000
RECORDED = [
    (0.1, "demo: /tmp/orchestrator-demo-x\r\n"),
    (0.2, "worker_1 <a & b>\r\n\x1b[32m━━\x1b[2m──\x1b[0m 1/2 done\r"),
    (9.0, "\x1b[J\x1b[31mworker_1 failed\x1b[0m\r\n"),
    (9.1, "what happened\r\n"),
]


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    found = util.spec_from_file_location("record_demo", PICTURES / "record_demo.py")
    assert found is not None and found.loader is not None
    module = util.module_from_spec(found)
    # Dataclasses look up their module in ``sys.modules``.
    sys.modules["record_demo"] = module
    found.loader.exec_module(module)
    return module


def check(svg: str) -> ElementTree.Element:
    """A picture of which no part is a script or comes from elsewhere."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        assert element.tag.rpartition("}")[2] in (
            *("svg", "title", "style", "defs", "text", "tspan", "rect", "circle", "g", "use"),
        )
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert not name.endswith("href") or value.startswith("#")
    assert not re.search(r"url\(|@import|javascript:|<!", svg)
    assert len(svg.encode()) < MOST_BYTES
    return root


def text_of(row: ElementTree.Element) -> str:
    return " ".join(row.itertext())


def test_a_recording_becomes_a_picture_without_scripts(recorder: ModuleType) -> None:
    shown = recorder.played(recorder.frames(RECORDED, 40, 6))
    for theme in recorder.THEMES.values():
        root = check(recorder.render(shown, 40, 6, theme))

        rows = [text_of(row) for row in root.iterfind(".//{*}defs/{*}text")]
        assert rows[0] == "$ bin/orchestrator demo"
        assert "worker_1 <a & b>" in rows and "━━ ── 1/2 done" in rows
        assert rows[-2:] == ["worker_1 failed", "what happened"]


def test_pauses_are_cut_and_the_last_frame_stays(recorder: ModuleType) -> None:
    shown = recorder.played(recorder.frames(RECORDED, 40, 6))

    assert shown[0].seconds == recorder.FIRST_SECONDS
    assert shown[-1].seconds == recorder.LAST_SECONDS
    assert all(frame.seconds <= recorder.MOST_SECONDS for frame in shown[1:-1])


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_readme_has_a_picture_of_the_whole_demo_in_each_theme(name: str) -> None:
    svg = (PICTURES / f"demo-{name}.svg").read_text("utf-8")

    check(svg)
    for shown in ("started child job", "gate tests failed", "not merged", "the result was landed"):
        assert shown in svg
    assert f'"docs/pictures/demo-{name}.svg"' in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.nightly
def test_the_script_makes_the_pictures_from_a_real_run(tmp_path: Path) -> None:
    environ: Mapping[str, str] = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(PICTURES / "record_demo.py"), "--to", str(tmp_path)]

    subprocess.run(command, env=environ, check=True, timeout=110)

    for name in ("light", "dark"):
        svg = (tmp_path / f"demo-{name}.svg").read_text("utf-8")
        check(svg)
        assert "resolved a merge conflict" in svg and "/6 done" in svg
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg"}, "the demo was removed"
