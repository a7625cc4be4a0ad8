"""The agent of the demo: a script that reads its prompt, and edits files as an AI agent would.

The script imports only the standard library, because workers run a copy in the demo's folder.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: Pause of each worker, in seconds, so that a person can follow the progress lines.
THINKING_SECONDS = 1.5
REPORTS = ("sales", "stock")
MENU = Path("shop/menu.py")
#: The output of the test for negative amounts, which fails with the wrong version of the code.
FINDING = "'-1.95' != '-0.05'"

MONEY = '''\
"""Amounts of money as text."""


def show(cents: int) -> str:
    """Such as 1,234.50 for 123450 cents."""
    {body}
'''
#: Code that is wrong for negative amounts, because // and % round down.
CARELESS = 'return f"{cents // 100:,}.{cents % 100:02}"'
CAREFUL = """\
sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02}\""""

REPORT = '''\
"""The report of {name}."""


def title() -> str:
    return "Report of {name}"
'''
PAGE = '''\
"""The page {name}."""


def show() -> str:
    return "Your {name}"
'''
TEST = """\
import unittest

{imports}


class {name}(unittest.TestCase):
    def test_{rule}(self) -> None:
        self.assertEqual({left}, {right})
"""


def write(path: str, text: str) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    print(f"wrote {path}", flush=True)


def write_test(path: str, **values: str) -> None:
    write(path, TEST.format(**values))


def build_reports() -> None:
    """Start a child job that writes the reports. Then add a file that imports the reports."""
    write("shop/reports/__init__.py", '"""The reports of the shop."""\n')
    tasks = [
        {"id": name, "title": f"Report of {name}", "prompt": f"Write shop/reports/{name}.py."}
        for name in REPORTS
    ]
    plan = json.dumps({"request": "Write the reports of sales and stock", "tasks": tasks})
    spawn = ["orchestrator", "spawn", "--plan", "-", "--wait"]
    subprocess.run(spawn, input=plan, text=True, check=True)
    imports = f"from shop.reports import {', '.join(REPORTS)}"
    titles = ", ".join(f"{name}.title()" for name in REPORTS)
    text = f'"""All reports in one list."""\n\n{imports}\n\n\ndef titles() -> list[str]:\n'
    write("shop/reports/overview.py", f"{text}    return [{titles}]\n")
    write_test(
        "tests/test_reports.py",
        imports="from shop.reports import overview",
        name="TestReports",
        rule="the_overview_has_all_reports",
        left="overview.titles()",
        right=json.dumps([f"Report of {name}" for name in REPORTS]),
    )


def write_report(name: str) -> None:
    write(f"shop/reports/{name}.py", REPORT.format(name=name))


def show_thousands(prompt: str) -> None:
    """Write the shop's module that formats amounts, with a test.

    In the first attempt, the module is wrong for negative amounts, so that the gate rejects it. If
    the prompt contains the gate's finding, the module is correct.
    """
    body = CAREFUL if FINDING in prompt else CARELESS
    write("shop/money.py", MONEY.format(body=body))
    write_test(
        "tests/test_thousands.py",
        imports="from shop.money import show",
        name="TestThousands",
        rule="thousands_have_a_comma",
        left="show(123450)",
        right='"1,234.50"',
    )


def add_page(name: str) -> None:
    """Add a page, and add its name to the menu. If the menu has a conflict, resolve it."""
    write(f"shop/pages/{name}.py", PAGE.format(name=name))
    write_test(
        f"tests/test_{name}.py",
        imports=f"from shop.menu import PAGES\nfrom shop.pages import {name}",
        name=f"Test{name.title()}",
        rule="the_page_is_in_the_menu",
        left=f'("{name}" in PAGES, {name}.show())',
        right=f'(True, "Your {name}")',
    )
    # A file with conflict markers contains the lines of both sides.
    menu = MENU.read_text()
    names = dict.fromkeys([*re.findall(r'"(\w+)"', menu), name])
    quoted_names = ", ".join(f'"{each}"' for each in names)
    write(str(MENU), f'"""The menu of the shop."""\n\nPAGES = ({quoted_names})\n')


#: Functions that do the work, by title of the task.
WORK: Mapping[str, Callable[[str], None]] = {
    "Build the reports": lambda prompt: build_reports(),
    "Report of sales": lambda prompt: write_report("sales"),
    "Report of stock": lambda prompt: write_report("stock"),
    "Show thousands": show_thousands,
    "Add the page cart": lambda prompt: add_page("cart"),
    "Add the page orders": lambda prompt: add_page("orders"),
}


def main() -> None:
    prompt = sys.stdin.read()
    title = re.search(r"^## Your task: (.*)$", prompt, re.MULTILINE)
    if title is None or title[1] not in WORK:
        sys.exit("the prompt names no task of the demo")
    time.sleep(THINKING_SECONDS)
    WORK[title[1]](prompt)
    print(f"{title[1]}: done")


if __name__ == "__main__":
    main()
