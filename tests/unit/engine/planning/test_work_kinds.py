"""The plans that the rules make for requests. A person has read and accepted each row."""

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import TaskSpec
from orchestrator.engine.planning.rule_planner import RulesPlanner, SplitRule, split
from orchestrator.engine.planning.work_kinds import kinds
from orchestrator.engine.submission.job_creation import check_tasks

# Kind, and the titles of its tasks.
KINDS = [
    (
        "Create a React + FastAPI + PostgreSQL application",
        "application of named technologies",
        ["Frontend (React)", "Backend (FastAPI)", "Database (PostgreSQL)"],
    ),
    (
        "Build a full-stack application",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Generate comprehensive documentation for this codebase",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Break down this complex backend into microservices",
        "microservices",
        [
            "Service boundaries",
            "Service contracts",
            "Data of each service",
            "Services",
            "Deployment",
            "Tests",
        ],
    ),
    (
        "Please build a full stack todo app with login and sharing. Please keep it small "
        "and tidy. Thank you very much.",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Build a full-stack application. Please make sure that everything is consistent.",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "I want a full-stack shop with accounts, a basket and search",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Could you please create a Vue.js and Django application for invoices?",
        "application of named technologies",
        ["Frontend (Vue.js)", "Backend (Django)"],
    ),
    (
        "Create a web app using Next.js, Express and MongoDB, with tests",
        "application of named technologies",
        ["Frontend (Next.js)", "Backend (Express)", "Database (MongoDB)", "Tests"],
    ),
    (
        "Build a todo list with React, FastAPI and PostgreSQL",
        "application of named technologies",
        ["Frontend (React)", "Backend (FastAPI)", "Database (PostgreSQL)"],
    ),
    (
        "Migrate the monolith to microservices",
        "microservices",
        [
            "Service boundaries",
            "Service contracts",
            "Data of each service",
            "Services",
            "Deployment",
            "Tests",
        ],
    ),
    (
        "Split the monolith into microservices. Keep the public API stable.",
        "microservices",
        [
            "Service boundaries",
            "Service contracts",
            "Data of each service",
            "Services",
            "Deployment",
            "Tests",
        ],
    ),
    (
        "Write a comprehensive test suite for this project",
        "test suite of a project",
        ["Unit tests", "Integration tests", "End-to-end tests"],
    ),
    (
        "Perform a security audit of this codebase",
        "security audit of a project",
        [
            "Input and injection",
            "Authentication and access",
            "Secrets and settings",
            "Dependencies",
            "Report",
        ],
    ),
    (
        "Hi team,\n\nBuild a full-stack application.\n\nThanks,\nAnna",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Build a fullstack React and Flask app with SQLite",
        "full-stack application",
        ["Frontend (React)", "Backend API (Flask)", "Database (SQLite)", "Tests"],
    ),
    (
        "Create a Node.js API with PostgreSQL and Redis",
        "application of named technologies",
        ["Backend (Node.js)", "Database (PostgreSQL, Redis)"],
    ),
    (
        "Create documentation for the whole repository. Use Markdown.",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Build a full-stack application.",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Make a full stack app!!!",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "can u build a fullstack app",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "BUILD A FULL-STACK APPLICATION",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Create an application using React, FastAPI and PostgreSQL. Include tests.",
        "application of named technologies",
        ["Frontend (React)", "Backend (FastAPI)", "Database (PostgreSQL)", "Tests"],
    ),
    (
        "Create a React/FastAPI/PostgreSQL application",
        "application of named technologies",
        ["Frontend (React)", "Backend (FastAPI)", "Database (PostgreSQL)"],
    ),
    (
        "Build a MERN stack application",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Write full documentation",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Generate complete technical documentation of our entire code base, including diagrams",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Please document this codebase",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Break this backend into microservices",
        "microservices",
        [
            "Service boundaries",
            "Service contracts",
            "Data of each service",
            "Services",
            "Deployment",
            "Tests",
        ],
    ),
    (
        "Convert our monolithic application to a microservices architecture. Thanks!",
        "microservices",
        [
            "Service boundaries",
            "Service contracts",
            "Data of each service",
            "Services",
            "Deployment",
            "Tests",
        ],
    ),
    (
        "Build a Django app with PostgreSQL",
        "application of named technologies",
        ["Backend (Django)", "Database (PostgreSQL)"],
    ),
    (
        "Create a new full-stack application for a bakery using SvelteKit, Go and "
        "SQLite. It must work offline. Please keep it small and tidy.",
        "full-stack application",
        ["Frontend (SvelteKit)", "Backend API", "Database (SQLite)", "Tests"],
    ),
    (
        "I need a React + FastAPI application",
        "application of named technologies",
        ["Frontend (React)", "Backend (FastAPI)"],
    ),
    (
        "We want to build a full-stack application",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
    (
        "Document this codebase",
        "documentation of a project",
        ["API documentation", "Architecture", "User guide", "Contributing guide", "Examples"],
    ),
    (
        "Good morning! Please build a full-stack application for a bakery. Many thanks in advance!",
        "full-stack application",
        ["Frontend", "Backend API", "Database", "Tests"],
    ),
]
# Lists, sentences, parts: the rule, and each task with its role and dependencies.
SPLIT = [
    (
        "Build a shop with a cart, a checkout and search",
        "parts",
        ["Build a shop: a cart", "Build a shop: a checkout", "Build a shop: search"],
    ),
    (
        "Build a shop with React, a cart and a checkout",
        "parts",
        ["Build a shop: a cart", "Build a shop: a checkout"],
    ),
    ("Write the code. Test it.", "sentences", ["Write the code.", "Test it. <- 1"]),
    (
        "Write the code. Write tests for it. Deploy it.",
        "sentences",
        ["Write the code.", "Write tests for it. [testing] <- 1", "Deploy it. <- 1, 2"],
    ),
    (
        "Add login. Add logout. Write tests.",
        "sentences",
        ["Add login.", "Add logout.", "Write tests. [testing] <- 1, 2"],
    ),
    (
        "We have a slow API. Profile it. Fix the worst query.",
        "sentences",
        ["Profile it.", "Fix the worst query."],
    ),
    (
        "Build a shop. Use TypeScript. It must work offline. Users can log in. Add a search page.",
        "sentences",
        ["Build a shop.", "Add a search page."],
    ),
    (
        "- add login\n- add logout\n\nPlease keep it small and tidy.",
        "list",
        ["add login", "add logout"],
    ),
    ("- add login\n- add logout\n- Thank you very much.", "list", ["add login", "add logout"]),
    (
        "1. build the parser\n2. write tests\n3. document it",
        "list",
        ["build the parser", "write tests [testing] <- 1", "document it [documentation] <- 1, 2"],
    ),
    ("1) add login 2) add logout 3) keep it tidy", "list", ["add login", "add logout"]),
    (
        "Make a game with levels, sound and a high score",
        "parts",
        ["Make a game: levels", "Make a game: sound", "Make a game: a high score"],
    ),
    (
        "Build a REST API with authentication, user management and CRUD",
        "parts",
        [
            "Build a REST API: authentication",
            "Build a REST API: user management",
            "Build a REST API: CRUD",
        ],
    ),
    (
        "Rename foo to bar in utils.py. Update the callers.",
        "sentences",
        ["Rename foo to bar in utils.py.", "Update the callers."],
    ),
    (
        "Design a modern e-commerce platform with user accounts, product catalog, "
        "shopping cart, checkout and admin dashboard",
        "parts",
        [
            "Design a modern e-commerce platform: user accounts",
            "Design a modern e-commerce platform: product catalog",
            "Design a modern e-commerce platform: shopping cart",
            "Design a modern e-commerce platform: checkout",
            "Design a modern e-commerce platform: admin dashboard",
        ],
    ),
    (
        "Implement OAuth with Google, GitHub and GitLab",
        "parts",
        ["Implement OAuth: Google", "Implement OAuth: GitHub", "Implement OAuth: GitLab"],
    ),
    (
        "Set up CI. Add a linter. Format the code. Finally, update the README.",
        "sentences",
        [
            "Set up CI.",
            "Add a linter.",
            "Format the code.",
            "Finally, update the README. <- 1, 2, 3",
        ],
    ),
    (
        "Build a house with a roof, doors and windows",
        "parts",
        ["Build a house: a roof", "Build a house: doors", "Build a house: windows"],
    ),
    (
        "Add pagination to the users endpoint. Add it to the orders endpoint too.",
        "sentences",
        ["Add pagination to the users endpoint.", "Add it to the orders endpoint too. <- 1"],
    ),
    (
        "A REST API with authentication, users and billing",
        "parts",
        ["A REST API: authentication", "A REST API: users", "A REST API: billing"],
    ),
    (
        "Build an app that has a login page, a profile page and settings",
        "parts",
        ["Build an app: a login page", "Build an app: a profile page", "Build an app: settings"],
    ),
    (
        "Build me a chat application with rooms, direct messages and notifications. "
        "Write tests. Write documentation.",
        "sentences",
        [
            "Build me a chat application with rooms, direct messages and notifications.",
            "Write tests. [testing] <- 1",
            "Write documentation. [documentation] <- 1, 2",
        ],
    ),
    (
        "Use a tool, e.g. Ruff. Then run it.",
        "sentences",
        ["Use a tool, e.g. Ruff.", "Then run it. <- 1"],
    ),
    (
        "Build a shop with a cart, a checkout and tests",
        "parts",
        [
            "Build a shop: a cart",
            "Build a shop: a checkout",
            "Build a shop: tests [testing] <- 1, 2",
        ],
    ),
    (
        "Build a shop with a cart, a checkout, tests and documentation",
        "parts",
        [
            "Build a shop: a cart",
            "Build a shop: a checkout",
            "Build a shop: tests [testing] <- 1, 2",
            "Build a shop: documentation [documentation] <- 1, 2, 3",
        ],
    ),
    (
        "- [ ] Build a parser\n- [ ] Build a printer\nThanks!",
        "list",
        ["Build a parser", "Build a printer"],
    ),
    ("Build a shop.\n\n1. cart\n2. checkout\n\nThank you very much.", "list", ["cart", "checkout"]),
    (
        "Build a shop with a cart, a checkout and search. Thank you very much.",
        "parts",
        ["Build a shop: a cart", "Build a shop: a checkout", "Build a shop: search"],
    ),
    ("Write the code.\nTest it.", "sentences", ["Write the code.", "Test it. <- 1"]),
    (
        "Look at issue #12. Reproduce it. Fix it. Add a regression test.",
        "sentences",
        [
            "Look at issue #12.",
            "Reproduce it. <- 1",
            "Fix it. <- 1, 2",
            "Add a regression test. [testing] <- 1, 2, 3",
        ],
    ),
    (
        "- write the parser\n- write a test for it",
        "list",
        ["write the parser", "write a test for it [testing] <- 1"],
    ),
    (
        "- Python 3.11\n- no dependencies\n- build a parser\n- build a printer",
        "list",
        ["build a parser", "build a printer"],
    ),
]
# A request that is small, or that the rules do not understand: one task with the whole request.
ONE = [
    "Fix the typo in README.md",
    "Fix the typo in README.md. Thank you very much.",
    "Add a button with a label, an icon and a tooltip",
    "Write a function with tests and docs",
    "Create a Dockerfile for the Django and React app",
    "Create a migration from MySQL to PostgreSQL",
    "Migrate this one endpoint to the user microservice",
    "Write documentation for the login function",
    "Write comprehensive documentation for the login function",
    "Write docs",
    "Write documentation for this project in German",
    "Generate API documentation for this project",
    "Document the parser",
    "Add tests for the parser",
    "Write tests for this project",
    "Do a security review of the login page",
    "Refactor the parser. Please keep it small and tidy. Please make sure that "
    "everything is consistent. Thank you very much.",
    "Fix the bug. Run the tests.",
    "Build a blog. Users can log in. They can write posts.",
    "Please make sure that everything is consistent.",
    "Hi, please add login.",
    "Let me know which functions are unused.",
    "Have a look at the parser. Tell me what is slow.",
    "Test coverage is low. Add tests for the parser.",
    "Why is the API slow? Fix it.",
    "What does X do? How is Y built?",
    "Écris des tests. Élargis l'API.",
    "Напиши код. Проверь его.",
    "建立网站。然后写测试。",
    "Baue eine Anwendung mit React, FastAPI und PostgreSQL",
    "Erstelle eine Webseite. Teste sie. Danke!",
    "Construye una aplicación. Escribe pruebas.",
    "ログインを追加してください。テストを書いてください。",
    "Write the code. Élargis l'API. Test it.",
    "- Please keep it small.\n- add login",
    "Build a website:\n- must be responsive\n- must use dark colors",
    "Build a website with care, love and patience",
    "Build a website with no dependencies and good performance",
    "Build a CLI tool with subcommands for import, export and search",
    "Explain what this code does",
    'Fix this error.\n\nTraceback (most recent call last):\n  File "x.py", line 1\nValueError: no',
    "Fix the tests with pytest and tox",
    "Update the dependencies and fix what breaks.",
    "Create a React component with props, state and hooks",
    "Add a React frontend and a FastAPI backend to this repo",
    "Build a full-stack application, but only the backend",
    "Create a simple one page site with HTML and CSS",
    "Survey this repository",
    "Review this code and suggest improvements",
    "Convert the JavaScript files to TypeScript. Do not change behaviour.",
    "Thanks for the parser. Now add a printer.",
    "Can you add dark mode? It should follow the system setting.",
    "Please write a comprehensive README. Please be careful.",
    "asdf qwer",
    "Make it faster",
    "Do it.",
    "Decompose the service into microservices, only the users part",
    "Improve the documentation of this project",
    "I'd appreciate a review of the parser.",
    "Check that all links resolve.",
    "Write a Python script that reads a CSV file and prints the sum. Add type hints.",
    "Write comprehensive docs for the API.",
    "Build a website with React",
    "Create a landing page with a hero, pricing and a footer",
    '"Fix it." he said. Then he left.',
    "Fix A. Fix B. Fix C.",
    "Fix the login; add a test",
    "Add a database",
    "Upgrade React to 19, FastAPI to 0.115 and PostgreSQL to 17",
    "Write a blog post about React, FastAPI and PostgreSQL",
    "Compare React, Vue and Angular",
    "Explain how the full-stack application works",
    "Delete the full-stack application",
    "Add two numbers",
    "Write unit tests, integration tests and e2e tests",
    "Refactor: split utils.py into modules. Keep behaviour. Run the tests. Commit your changes.",
    "Best practices report",
    "Hello world program in C",
    "Thank you page",
    "Thank you page for the shop",
    "Hi Anna,\n\nadd login.\n\nThanks for your help!\nBest,\nTom",
    "Hello, can you fix the login?",
]
# Polite words alone are no task.
NOTHING = [
    "Thank you very much.",
    "please",
    "Thanks!",
    "Hello!",
    "Best regards",
    "Please keep it small and tidy.",
    "Be thorough. Thank you!",
]


def text_of(task: TaskSpec) -> str:
    """Return a task as text, such as ``Write tests. [testing] <- 1, 2``."""
    role = f" [{task.role}]" if task.role else ""
    needs = ", ".join(need.removeprefix("task_") for need in task.depends_on)
    return task.title + role + (f" <- {needs}" if needs else "")


@pytest.mark.parametrize(("request_", "kind", "titles"), KINDS)
def test_a_kind_of_work_is_split_into_its_parts(
    request_: str, kind: str, titles: list[str]
) -> None:
    made = split(request_)

    assert (made.rule, made.kind, [task.title for task in made.tasks]) == (
        SplitRule.KIND,
        kind,
        titles,
    )
    assert all(task.prompt.startswith(request_.strip()) for task in made.tasks)


@pytest.mark.parametrize(("request_", "rule", "tasks"), SPLIT)
def test_a_request_with_separate_parts_is_split(request_: str, rule: str, tasks: list[str]) -> None:
    made = split(request_)

    assert (made.rule, [text_of(task) for task in made.tasks]) == (rule, tasks)


@pytest.mark.parametrize("request_", ONE)
def test_a_small_or_unclear_request_stays_one_task(request_: str) -> None:
    made = split(request_)

    assert [task.prompt for task in made.tasks] == [request_]
    assert made.tasks[0].role is None


@pytest.mark.parametrize(
    "request_",
    ["Make sure that the tests pass", "Keep the README in step with app.py", "Run the tests"],
)
def test_a_condition_that_names_its_work_is_a_task(request_: str) -> None:
    assert [task.prompt for task in split(request_).tasks] == [request_]


@pytest.mark.parametrize("request_", NOTHING)
def test_courtesy_alone_is_no_task(request_: str) -> None:
    assert RulesPlanner().plan(request_) == ()
    with pytest.raises(InvalidRequest, match="no tasks"):
        check_tasks(split(request_).tasks)


@pytest.mark.parametrize(
    "courtesy",
    [
        "Please keep it small and tidy.",
        "Thank you very much.",
        "Please make sure that everything is consistent.",
    ],
)
@pytest.mark.parametrize(
    "work",
    [
        "Build a full-stack application. ",
        "Add login. Add logout. ",
        "Build a shop with a cart, a checkout and search. ",
        "- add login\n- add logout\n\n",
        "1) add login 2) add logout 3) ",
    ],
)
def test_courtesy_is_in_every_tasks_context_and_never_a_task(work: str, courtesy: str) -> None:
    tasks = RulesPlanner().plan(work + courtesy)

    assert len(tasks) > 1
    assert not [task for task in tasks if courtesy in task.title]
    assert {task.context for task in tasks} == {courtesy}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_the_example_of_each_kind_is_of_that_kind(kind) -> None:  # type: ignore[no-untyped-def]
    assert split(kind.example).kind == kind.name


def test_tests_come_after_the_code_and_have_a_role() -> None:
    tasks = {task.id: task for task in RulesPlanner().plan("Build a full-stack application")}

    assert [(each.role, each.depends_on) for each in tasks.values()] == [
        ("frontend", ()),
        ("backend", ()),
        ("backend", ()),
        ("testing", ("frontend", "backend", "database")),
    ]


def test_the_prompt_of_each_part_names_the_other_parts() -> None:
    first, *_ = RulesPlanner().plan("Create a React + FastAPI + PostgreSQL application")

    assert "Your part of this request: Frontend (React)." in first.prompt
    assert "Backend (FastAPI), Database (PostgreSQL). Do not do these." in first.prompt


def test_a_code_block_is_not_cut_into_sentences() -> None:
    request = "Fix this.\n```\nAdd x. Remove y.\n```\nRun it."

    assert [task.prompt for task in RulesPlanner().plan(request)] == [request]
