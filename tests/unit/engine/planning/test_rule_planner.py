"""The division of a request into tasks by rules."""

import time

import pytest

from orchestrator.core.model.job import TaskSpec
from orchestrator.engine.planning.rule_planner import RulesPlanner


def plan(request: str) -> list[TaskSpec]:
    return list(RulesPlanner().plan(request))


TABLE = [
    # A single action is one task.
    ("Survey this repository", ["Survey this repository"]),
    ("Fix the login bug.", ["Fix the login bug."]),
    ("  surrounded by blanks \n", ["surrounded by blanks"]),
    # Lists with any kind of bullet.
    ("- one\n- two", ["one", "two"]),
    ("* one\n* two\n* three", ["one", "two", "three"]),
    ("+ one\n+ two", ["one", "two"]),
    ("• one\n• two", ["one", "two"]),
    ("1. one\n2. two", ["one", "two"]),
    ("1) one\n2) two", ["one", "two"]),
    ("(1) one\n(2) two", ["one", "two"]),
    ("a) one\nb) two", ["one", "two"]),
    ("- [ ] one\n- [x] two", ["one", "two"]),
    ("1、登录\n2、注册", ["登录", "注册"]),
    ("  - one\n  - two", ["one", "two"]),
    ("Do this:\n\n- one\n- two", ["one", "two"]),
    ("- one\n  - part of one\n- two", ["one", "two"]),
    ("- one\n  goes on\n- two", ["one", "two"]),
    ("- one\n```\n- code\n```\n- two", ["one", "two"]),
    # A list with one item is not split.
    ("- only this", ["- only this"]),
    # Lists within a line.
    ("1) add login 2) add logout", ["add login", "add logout"]),
    ("1. add login 2. add logout", ["add login", "add logout"]),
    ("(1) add login, (2) add logout and (3) test", ["add login", "add logout", "test"]),
    ("a) lint; b) test", ["lint", "test"]),
    ("Please do 1) this 2) that", ["this", "that"]),
    ("For Python 3.11: 1. Port it. 2. Test it.", ["Port it.", "Test it."]),
    ("1. Use Python 3.11 2. Test it", ["Use Python 3.11", "Test it"]),
    ("1. Move to Python 2. 2. Test it.", ["Move to Python 2.", "Test it."]),
    ("1. Move to Python 3. Then wait 2. Test it.", ["Move to Python 3. Then wait", "Test it."]),
    ("Support Python 3.11 and 3.12", ["Support Python 3.11 and 3.12"]),
    ("Speed it up by 1.5 to 2.5 times", ["Speed it up by 1.5 to 2.5 times"]),
    ("See (1) and (2) for details", ["See (1) and (2) for details"]),
    ("Call f(1) and g(2) once", ["Call f(1) and g(2) once"]),
    ("Finish part 1. Look at part 2. Stop.", ["Finish part 1.", "Look at part 2.", "Stop."]),
    ("2) add logout 3) test", ["2) add logout 3) test"]),
    # X with A, B and C.
    (
        "Build a shop with a cart, a checkout and search",
        ["Build a shop: a cart", "Build a shop: a checkout", "Build a shop: search"],
    ),
    (
        "Write an API including auth, users, and billing.",
        ["Write an API: auth", "Write an API: users", "Write an API: billing"],
    ),
    (
        "A site featuring news; a search",
        ["A site: news", "A site: a search"],
    ),
    ("Open the file with care", ["Open the file with care"]),
    (
        "Make a game with graphics that look good on every screen there is, and sound",
        ["Make a game with graphics that look good on every screen there is, and sound"],
    ),
    # Sentences.
    ("Write the code. Test it.", ["Write the code.", "Test it."]),
    ("Write the code! Test it? Ship it.", ["Write the code!", "Test it?", "Ship it."]),
    (
        "Use a tool, e.g. Ruff. Then run it.",
        ["Use a tool, e.g. Ruff.", "Then run it."],
    ),
    ("Ask Dr. Smith about version 3.11 today", ["Ask Dr. Smith about version 3.11 today"]),
    ('Say "Hello." Then go.', ['Say "Hello."', "Then go."]),
    ("Écris des tests. Élargis l'API.", ["Écris des tests. Élargis l'API."]),
    ("Напиши код. Проверь его.", ["Напиши код. Проверь его."]),
    ("Use the lib. and the cli. für Übungen", ["Use the lib. and the cli. für Übungen"]),
    ("建立网站！写测试。部署它。", ["建立网站！写测试。部署它。"]),
    ("说“你好。”就走", ["说“你好。”就走"]),
    ("Look at www.example.org. Report.", ["Look at www.example.org.", "Report."]),
]


@pytest.mark.parametrize(("request_text", "titles"), TABLE)
def test_a_request_is_split_into_its_parts(request_text: str, titles: list[str]) -> None:
    tasks = plan(request_text)

    assert [task.title for task in tasks] == titles
    assert [task.id for task in tasks] == [f"task_{n}" for n in range(1, len(titles) + 1)]


def test_text_before_a_list_is_in_the_prompt_of_each_item() -> None:
    assert [task.prompt for task in plan("In Python:\n- a parser\n- a printer")] == [
        "In Python:\n\na parser",
        "In Python:\n\na printer",
    ]


def test_text_before_a_list_within_a_line_is_in_the_prompt_of_each_item() -> None:
    assert [task.prompt for task in plan("In Python: 1) a parser 2) a printer")] == [
        "In Python:\n\na parser",
        "In Python:\n\na printer",
    ]


def test_an_item_after_then_depends_on_the_items_before_it() -> None:
    assert [task.depends_on for task in plan("1) write it, and then 2) test it")] == [
        (),
        ("task_1",),
    ]


def test_the_lines_below_an_item_belong_to_it() -> None:
    first, second = plan("- one\n  - part\n  more\n- two")

    assert first.prompt == "one\n  - part\n  more"
    assert second.prompt == "two"


def test_a_later_step_depends_on_all_steps_before_it() -> None:
    tasks = plan("- write a\n- write b\n- then test both\n- finally ship")

    assert [task.depends_on for task in tasks] == [
        (),
        (),
        ("task_1", "task_2"),
        ("task_1", "task_2", "task_3"),
    ]


def test_afterwards_is_understood_in_chinese_too() -> None:
    assert [task.depends_on for task in plan("1、建立网站\n2、然后写测试")] == [(), ("task_1",)]


def test_a_long_title_is_cut_and_the_prompt_is_not() -> None:
    [task] = plan("word " * 100)

    assert len(task.title) <= 80
    assert task.title.endswith("...")
    assert task.prompt == ("word " * 100).strip()


def test_the_same_request_gives_the_same_tasks() -> None:
    for request, _ in TABLE:
        assert plan(request) == plan(request)


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_text",
    [
        "\n".join(f"- item {number}" for number in range(20_000)),
        "a" + " " * 100_000 + "b",
        "See e.g. A " * 10_000,
        "a with " * 20_000,
        "x with " + "b ,  , " * 20_000,
        ". " * 50_000,
        "." + '"' * 100_000,
        "." + "\n" * 100_000 + "x",
        "。" * 100_000,
        "1) x " + "2) 1) 1. 2. , and " * 10_000,
        "1) x" + " , and then" * 10_000 + " 2) y",
    ],
    ids=[
        "list",
        "blanks",
        "abbreviations",
        "with",
        "commas",
        "dots",
        "quotes",
        "newlines",
        "full stops",
        "numbers",
        "joints",
    ],
)
def test_a_request_that_is_made_to_take_long_does_not(request_text: str) -> None:
    began = time.process_time()

    plan(request_text)

    assert time.process_time() - began < 5


@pytest.mark.slow
def test_a_list_continues_after_its_999th_item() -> None:
    lines = [f"{number}. item {number}" for number in range(1, 10_001)]
    assert [task.title for task in plan("\n".join(lines))][-1] == "item 10000"
    assert len(plan("\n".join(lines))) == 10_000


@pytest.mark.slow
def test_a_long_introduction_is_not_copied_into_thousands_of_tasks() -> None:
    tasks = plan("about " * 15_000 + "\n" + "- x\n" * 20_000)

    assert sum(len(task.prompt) for task in tasks) < 100_000_000
    assert tasks[0].prompt.startswith("about about")
