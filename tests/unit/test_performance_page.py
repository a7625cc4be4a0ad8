"""The page on performance and its pictures match the stored results."""

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.dispatch import OUR_CPU, OURS, THEIR_WALL, WALL, WORK
from benchmarks.render import PAGE, PICTURES, RESULTS, rendered

FOLDER = Path(__file__).resolve().parents[2]


@pytest.fixture
def results() -> Any:
    return json.loads(RESULTS.read_text("utf-8"))


def dispatch_of(results: Any) -> Any:
    return next(each for each in results["benchmarks"] if each["name"] == "dispatch")


def test_the_files_are_rendered_from_the_stored_results(results: Any) -> None:
    for path, text in rendered(results).items():
        assert (FOLDER / path).read_text("utf-8") == text, f"{path}: run benchmarks/render.sh"


def test_the_sentences_follow_from_the_figures(results: Any) -> None:
    for ratio, less, more in ((0.5, "xargs -P4", "none"), (2.0, "none", "xargs -P4")):
        changed = copy.deepcopy(results)
        dispatch = dispatch_of(changed)
        names = (OURS, WORK, "xargs -P4")
        dispatch["rows"] = [row for row in dispatch["rows"] if row["program"] in names]
        for row in dispatch["rows"]:
            if row["program"] == "xargs -P4":
                row[THEIR_WALL], row[OUR_CPU] = ratio, 1 / ratio

        page = rendered(changed)[PAGE]

        for of in ("wall", "CPU"):
            assert f"- less {of} time than {OURS}: {less}\n" in page
            assert f"- the same {of} time as {OURS}, or more: {more}\n" in page


def test_the_load_of_the_run_is_named(results: Any) -> None:
    pages = []
    for load in (0.0, 9.0):
        dispatch_of(results)["load_average"] = [load, load, load]
        results["benchmarks"] = [dispatch_of(results)]
        pages.append(rendered(results)[PAGE])

    assert ["Other work ran on the machine" in page for page in pages] == [False, True]
    assert "load average 9.0 at the start" in pages[1].replace("\n", " ")


def test_a_path_in_a_note_is_not_shown(results: Any) -> None:
    dispatch_of(results)["notes"] = ["RQ is omitted: /home/me/.venv/bin/rq has failed"]

    assert "- RQ is omitted: (path) has failed\n" in rendered(results)[PAGE]


def test_a_failed_benchmark_has_a_section_without_figures(results: Any) -> None:
    failed = {**dispatch_of(results), "name": "store", "title": "The store", "error": "/tmp/x"}
    results["benchmarks"].append(failed)

    page = rendered(results)[PAGE]

    assert "The run failed, so there are no figures." in page.partition("## The store")[2]
    assert "/tmp/x" not in page


def test_results_of_a_quick_run_are_refused(results: Any) -> None:
    dispatch_of(results)["quick"] = True

    with pytest.raises(ValueError, match="quick run say nothing about speed: dispatch"):
        rendered(results)


def test_the_picture_has_a_bar_for_each_program(results: Any) -> None:
    files = rendered(results)
    rows = [row for row in dispatch_of(results)["rows"] if row["program"] != WORK]

    for path in PICTURES.values():
        root = ElementTree.fromstring(files[path])
        shown = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))
        assert len(bars) == len(rows)
        assert all(shown.count(row["program"]) >= 1 for row in rows)
        width = float(root.attrib["width"])
        assert all(len(text or "") * 7 < width for text in shown)
        assert all(0 < float(bar.attrib["x"]) + float(bar.attrib["width"]) < width for bar in bars)
    assert all(row[WALL] > 0 for row in rows)
