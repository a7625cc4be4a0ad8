"""The repository of the demo (a small shop), and the plan that extends it."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

#: Contents of the repository's files, by path.
FILES: Mapping[str, str] = {
    ".gitignore": "__pycache__/\n",
    "README.md": "# A small shop\n\nThe repository of a demo.\n",
    "shop/__init__.py": '"""A small shop."""\n',
    "shop/menu.py": '"""The menu of the shop."""\n\nPAGES = ("home",)\n',
    "shop/money.py": '''\
"""Amounts of money as text."""


def show(cents: int) -> str:
    """Such as 1234.50 for 123450 cents."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"
''',
    "shop/pages/__init__.py": '"""The pages of the shop."""\n',
    "shop/pages/home.py": '"""The page home."""\n\n\ndef show() -> str:\n    return "Welcome"\n',
    "tests/__init__.py": "",
    "tests/test_menu.py": """\
import unittest
from importlib import import_module

from shop.menu import PAGES


class TestMenu(unittest.TestCase):
    def test_each_page_of_the_menu_exists(self) -> None:
        for page in PAGES:
            self.assertTrue(import_module(f"shop.pages.{page}").show())
""",
    "tests/test_money.py": """\
import unittest

from shop.money import show


class TestMoney(unittest.TestCase):
    def test_cents(self) -> None:
        self.assertEqual(show(5), "0.05")

    def test_negative(self) -> None:
        self.assertEqual(show(-5), "-0.05")
""",
}


def plan(python: str) -> Mapping[str, Any]:
    """Return the plan of the demo. ``python``: path of the program that runs the gate's tests."""
    tests = f"{shlex.quote(python)} -m unittest discover"
    return {
        "request": "Extend the shop: reports, thousands, a cart, and orders",
        "config": {
            "git": "on",
            "max_workers": 4,
            "max_retries": 2,
            "gates": [{"name": "tests", "run": tests}],
        },
        "tasks": [
            {
                "id": "reports",
                "title": "Build the reports",
                "prompt": "Build shop/reports with a report of sales, one of stock, and an "
                "overview. Let a child job write the two reports.",
                "writes": ["shop/reports/", "tests/test_reports.py"],
            },
            {
                "id": "money",
                "title": "Show thousands",
                "prompt": "Let shop.money.show put commas between thousands: 1,234.50.",
                "writes": ["shop/money.py", "tests/test_thousands.py"],
            },
            {
                "id": "cart",
                "title": "Add the page cart",
                "prompt": "Add shop/pages/cart.py, and its name in shop/menu.py.",
                "writes": ["shop/pages/cart.py", "tests/test_cart.py"],
            },
            {
                "id": "orders",
                "title": "Add the page orders",
                "prompt": "Add shop/pages/orders.py, and its name in shop/menu.py.",
                "writes": ["shop/pages/orders.py", "tests/test_orders.py"],
            },
        ],
    }


def plan_text(python: str) -> str:
    return json.dumps(plan(python), indent=2) + "\n"
