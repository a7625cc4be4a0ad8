"""An agent for the examples: reads its prompt, and writes the files that the task requests."""

import json
import os
import pathlib
import re
import subprocess
import sys

prompt = sys.stdin.read()
title = re.search(r"^## Your task: (.*)$", prompt, re.MULTILINE)[1]
number = int(os.environ["ORCHESTRATOR_WORKER_ID"].rpartition("_")[2])
TEST = """\
import unittest
import {0}
class Test(unittest.TestCase):
    def test_it(self):
        assert {1}
"""
GOOD = """\
import re, unicodedata
def slugify(title):
    plain = unicodedata.normalize("NFKD", title.lower()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")
"""
WRONG = "def slugify(title):\n    return title.lower().replace(' ', '-')\n"
SERVICES = ("catalog", "orders", "gateway")


def write(path, text):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text)


def system():
    assert "orchestrator spawn" in prompt, "the prompt names the command that starts a child job"
    write("services/CONTRACT.md", "Each service has name().\n")
    tasks = [
        {"id": each, "title": f"Service {each}", "prompt": "As the contract says."}
        for each in SERVICES
    ]
    plan = json.dumps({"request": "Build the services", "tasks": tasks})
    spawn = ["orchestrator", "spawn", "--plan", "-", "--wait"]
    subprocess.run(spawn, input=plan, text=True, check=True)
    assert all(pathlib.Path("services", each, "app.py").exists() for each in SERVICES)


def service(name):
    assert pathlib.Path("services/CONTRACT.md").exists()
    write(f"services/{name}/app.py", f"def name():\n    return {name!r}\n")
    write(f"services/{name}/test_app.py", TEST.format("app", f"app.name() == {name!r}"))


def server():
    assert "CREATE TABLE" in pathlib.Path("notes/schema.sql").read_text()
    write("notes/server.py", "def serve(port, database):\n    return port\n")
    write("notes/test_server.py", TEST.format("server", "server.serve(1, '') == 1"))


def page():
    write("notes/index.html", "<script src=app.js></script>\n")
    write("notes/app.js", "fetch('/api/notes')\n")


def whole():
    assert pathlib.Path("notes/app.js").exists()
    write("notes/test_whole.py", TEST.format("server", "server.serve(2, '') == 2"))


def index():
    """Return a wrong page until the prompt contains the gate's finding."""
    last = "change.md" if "no changes.md" in prompt else "changes.md"
    write("guide/README.md", f"- [Start](start.md)\n- [Parts](parts.md)\n- [Change]({last})\n")


def price():
    sign = "'-' if cents < 0 else ''" if "not '-0.05'" in prompt else "''"
    shown = f"{{{sign}}}{{abs(cents) // 100:,}}.{{abs(cents) % 100:02}}"
    write("price.py", f'# TODO: currencies\ndef show(cents):\n    return f"{shown}"\n')


WORK = {
    "Build the order system": system,
    "Database of the notes": lambda: write("notes/schema.sql", "CREATE TABLE notes (id);\n"),
    "Server of the notes": server,
    "Page of the notes": page,
    "Test of the whole application": whole,
    "First steps": lambda: write("guide/start.md", "Start.\n"),
    "Parts": lambda: write("guide/parts.md", "Parts.\n"),
    "Changes": lambda: write("guide/change.md", "Changes.\n"),
    "Index of the guide": index,
    "A function that makes slugs": lambda: write(
        "slug.py", (WRONG, "# Slugs.\n" * 9 + GOOD, GOOD)[number - 1]
    ),
    "A function that shows prices": price,
    **{f"Service {each}": lambda each=each: service(each) for each in SERVICES},
}
WORK[title]()
print(f"Done: {title}")
