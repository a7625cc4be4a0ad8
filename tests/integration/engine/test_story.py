"""The story of one request in docs/internals/architecture.md matches the running code."""

import re
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass
from types import FrameType

from tests.integration.conftest import MakeSite
from tests.integration.site import REPOSITORY, shell

HEADING = "## One request, file by file\n"
ROW = re.compile(r"^\| (.+?) \| (\S+) \| (`.+`) \|$", re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.py)`")
#: Value of the column "thread" for the steps that run outside the server.
OUTSIDE = "–"


@dataclass(frozen=True)
class Step:
    text: str
    #: The name of the step's thread, without a number.
    thread: str
    files: tuple[str, ...]


def story() -> list[Step]:
    document = (REPOSITORY / "docs" / "internals" / "architecture.md").read_text("utf-8")
    section = document.partition(HEADING)[2].partition("\n## ")[0]
    rows = ROW.findall(section)
    return [Step(text, thread, tuple(FILE.findall(files))) for text, thread, files in rows]


def misplaced(steps: list[Step], entries: list[str]) -> str:
    """Return how the calls of a thread differ from the table; "" if they do not.

    ``steps``: the steps of the thread. ``entries``: the files with the called functions, in the
    order of the calls.

    A step begins with the first call in its first file after the previous step. From there on, the
    first calls in the step's files must be in the order of the table. Other calls may be between.
    """
    place = 0
    for step in steps:
        begin = place
        for number, file in enumerate(step.files):
            if file not in entries[begin:]:
                return f"{step.text}: {file} was not entered"
            found = entries.index(file, begin)
            if found < place:
                return f"{step.text}: {file} was entered before {step.files[number - 1]}"
            place = found
            if number == 0:
                begin = found
    return ""


def test_files_of_the_story_run_in_the_threads_and_the_order_of_the_table(
    make_site: MakeSite,
) -> None:
    package = f"{REPOSITORY}/orchestrator/"
    steps = story()
    in_server = [step for step in steps if step.thread != OUTSIDE]
    in_shims = {file for step in steps if step.thread == OUTSIDE for file in step.files}
    listed = {file for step in steps for file in step.files}
    entries: dict[str, list[str]] = defaultdict(list)

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            file = frame.f_code.co_filename.removeprefix(package)
            if file in listed:
                entries[threading.current_thread().name].append(file)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        site = make_site()
        sys.setprofile(None)
        entries["main"] = entries.pop(threading.current_thread().name)
        answer = site.run("two tasks", [shell("echo one > one"), shell("echo two > two")])
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    assert answer["status"] == "completed"
    assert (site.directory(answer["job_id"]) / "FINAL_RESULT.md").exists()
    assert in_server and in_shims
    for label in {step.thread for step in in_server}:
        steps_of_label = [step for step in in_server if step.thread == label]
        threads = [files for name, files in list(entries.items()) if name.startswith(label)]
        faults = [misplaced(steps_of_label, files) for files in threads]
        assert "" in faults, f"no thread {label!r} follows the table: {faults}"
    entered = {file for files in list(entries.values()) for file in files}
    assert not {file for file in in_shims if "/spawner/" in file or "/shim/" in file} & entered
