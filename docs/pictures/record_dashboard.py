"""Photograph the dashboard with the job of ``orchestrator demo``, for README and docs.

``.venv/bin/python docs/pictures/record_dashboard.py`` runs the demo in a temporary directory,
starts its server, and writes ``dashboard-*.png`` beside this file. Needs the packages of
``requirements-dev.txt``, and chromium. Takes a minute.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
COMMAND = HERE.parents[1] / "bin" / "orchestrator"
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
SIZE = {"width": 1280, "height": 800}
#: Name of a picture: its page, and the theme. ``{job}`` is the demo's job.
PICTURES = {
    "dashboard-job-light.png": ("/jobs/{job}", "light"),
    "dashboard-job-dark.png": ("/jobs/{job}", "dark"),
    "dashboard-changes-light.png": ("/jobs/{job}/changes?worker=worker_2", "light"),
    "dashboard-changes-dark.png": ("/jobs/{job}/changes?worker=worker_2", "dark"),
}
#: What a page has fetched and drawn by then.
SETTLED_MS = 2500
READY_SECONDS = 60.0


def main() -> int:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        print("chromium is not installed (Debian: sudo apt install chromium)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "demo"
        subprocess.run([COMMAND, "demo", "--keep", folder], check=True, stdout=sys.stderr)
        with _served(folder) as orchestrator, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
            listed = _answer(orchestrator, "jobs", "--json")["jobs"]
            job = next(each["job_id"] for each in listed if not each.get("parent_job_id"))
            for name, (path, theme) in PICTURES.items():
                page = browser.new_page(viewport=SIZE, color_scheme=theme, device_scale_factor=1)
                _photograph(page, orchestrator, path.format(job=job), HERE / name)
            browser.close()
    return 0


@contextmanager
def _served(folder: Path) -> Iterator[Path]:
    """Run the server of the demo's folder; yield its command."""
    command = folder / "bin" / "orchestrator"
    server = subprocess.Popen([command, "serve", "--port", "0"], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + READY_SECONDS
        while not (folder / "workspace" / "server.json").exists():
            assert server.poll() is None and time.monotonic() < until, "the server does not start"
            time.sleep(0.1)
        yield command
    finally:
        server.terminate()
        server.wait(READY_SECONDS)


def _photograph(page: Page, command: Path, path: str, picture: Path) -> None:
    address = _answer(command, "open", "--print", "--json")["url"]
    page.goto(address)
    page.locator(".top").wait_for()
    page.goto(address.partition("/#")[0] + path)
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=picture)
    page.close()


def _answer(command: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([command, *arguments], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    sys.exit(main())
