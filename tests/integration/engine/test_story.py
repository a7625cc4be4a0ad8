"""The story of one request in docs/internals/architecture.md matches the running code."""

import re
import threading
from types import FrameType

from tests.integration.conftest import MakeSite
from tests.integration.site import REPOSITORY, shell

HEADING = "## One request, file by file\n"
ROW = re.compile(r"^\| (.+?) \| (`.+`) \|$", re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.py)`")
#: The step that runs outside the server.
IN_SHIMS = "Shims, which are separate processes"


def story() -> list[tuple[str, list[str]]]:
    """Return the steps, with the files of each step."""
    document = (REPOSITORY / "docs" / "internals" / "architecture.md").read_text("utf-8")
    section = document.partition(HEADING)[2].partition("\n## ")[0]
    return [(step, FILE.findall(files)) for step, files in ROW.findall(section)]


def test_every_file_of_the_story_runs_in_the_server_or_in_a_shim(make_site: MakeSite) -> None:
    package = f"{REPOSITORY}/orchestrator/"
    entered: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename.removeprefix(package))

    threading.setprofile(note)
    try:
        site = make_site()
        answer = site.run("two tasks", [shell("echo one > one"), shell("echo two > two")])
    finally:
        threading.setprofile(None)

    steps = story()
    assert answer["status"] == "completed"
    assert (site.directory(answer["job_id"]) / "FINAL_RESULT.md").exists()
    of_shims = [path for step, files in steps if step.startswith(IN_SHIMS) for path in files]
    of_server = [path for step, files in steps if not step.startswith(IN_SHIMS) for path in files]
    assert of_shims and of_server
    assert not set(of_server) - entered
    assert not {path for path in of_shims if "/spawner/" in path or "/shim/" in path} & entered
