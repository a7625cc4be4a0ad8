"""The layers of the source: allowed imports, and code that belongs in one module.

Imports inside functions also count. Each package must be in ``LEVELS``.
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.sources import PACKAGE, Nodes, nodes_of, source_nodes

TOP = "orchestrator"

LEVELS: Mapping[str, int] = {
    "core": 0,
    **dict.fromkeys(("security", "system"), 1),
    **dict.fromkeys(("config", "schemas"), 2),
    **dict.fromkeys(("engine", "agents", "launchers", "store", "workspace", "git", "gates"), 3),
    **dict.fromkeys(("reports", "outbox"), 3),
    "composition": 4,
    "api": 5,
    "cli": 6,
    "__main__": 7,
}

#: Rooms of a package, lowest level first: a room imports only rooms of lower levels.
ROOMS: Mapping[str, Sequence[str]] = {
    "core": (
        "lazy_dataclass",
        "errors events failpoints text",
        "gates",
        "model",
        "limits locks repository",
        "candidates outcome",
        "ports",
        "scheduler",
    ),
    "engine": (
        "runtime",
        "event_feed worktrees job_removal report_queue",
        "housekeeping",
        "planning",
        "gates",
        "submission",
        "attempts",
        "merge",
        "supervisor",
        "service",
    ),
    "git": (
        "command",
        "checkout commits",
        "environments",
        "worktrees",
        "merge repository_location",
        "repair base_commit",
        "landing objects_and_refs",
        "unlanded_work",
        "job_ref_removal",
        "repository",
    ),
    "launchers": ("process", "containment exit_record", "local shim", "cluster spawner"),
    "api": (
        "client serializers server_options",
        "socket_loop",
        "http_messages",
        "access mcp openapi streaming",
        "routes",
        "tasks_api",
        "http_server",
    ),
    "cli": (
        "output",
        "offline",
        "command_context",
        "command_line",
        "plan worker_names",
        "follow server worker",
        "setup",
        "changes demo doctor",
        "jobs",
    ),
    "agents": (
        "activity availability prices survey",
        "ai_tools prompts",
        "driver_process model_loop",
        "command_agents terminal_resumption",
        "driven_agent",
        "agent_registry",
    ),
}

#: Maximum number of modules and packages in a folder, and of the product's parts.
MOST, MOST_PARTS = 14, 18

#: Modules that read a clock, a disk, a network, or another process. ``pathlib`` is allowed as a
#: type only.
INPUT_OUTPUT = frozenset(
    (
        *("asyncio", "concurrent", "fcntl", "glob", "http", "io", "logging", "mmap"),
        *("multiprocessing", "os", "queue", "random", "sched", "select", "selectors", "shutil"),
        *("signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "tempfile"),
        *("threading", "time", "urllib"),
    )
)

#: Packages that may import a foreign module, by module.
HOMES: Mapping[str, frozenset[str]] = {
    "sqlalchemy": frozenset({"store"}),
    "alembic": frozenset({"store"}),
    "sqlite3": frozenset({"store"}),
    "flask": frozenset({"api"}),
    "waitress": frozenset({"api"}),
    "werkzeug": frozenset({"api"}),
    "click": frozenset({"cli"}),
    # composition and cli handle signals to themselves. The driver handles signals inside of a
    # worker. The driver and a loop's bash tool stop processes that they started. git restores the
    # signals that Python ignores, and stops a git that takes too long.
    "signal": frozenset({"launchers", "composition", "cli", "agents", "git"}),
}
#: Modules that modules with a fast start may use, outside their own package.
LIGHT = frozenset(
    f"{TOP}.{name}"
    for name in (
        "core",
        "core.text.command_name",
        "core.lazy_dataclass",
        "core.errors",
        "core.failpoints",
        "core.gates",
        "core.limits",
        "core.limits.usage_caps",
        "core.model",
        "core.model.attempt",
        "core.model.attempt.attempt_result",
        "core.model.attempt.exit_cause",
        "core.model.attempt.failure",
        "core.model.attempt.usage_sums",
        "core.model.human_input",
        "core.model.human_input.messages",
        "core.model.human_input.pause",
        "core.model.human_input.question",
        "core.model.attempt.agent_session",
        "core.gates.gate",
        "core.model.job",
        "core.model.known_agents",
        "core.model.states",
        "core.outcome",
        "core.outcome.shortage_errors",
        "core.text",
        "core.text.formatting",
        "core.text.json_values",
        "core.text.lazy_pattern",
        "security",
        "security.control_sequences",
        "security.files",
        "security.files.json_file",
        "security.files.atomic_write",
        "security.files.untrusted_files",
        "system",
        "system.http_client.http_exchange",
        "system.http_client.http_retry",
        "system.process_table",
        "system.http_client.stdlib_client",
        "security.secrets",
        "security.secrets.masking",
    )
)
FILE_READERS = frozenset(("open_plain", "read_bytes", "read_regular", "read_tail", "read_text"))
JSON_PARSERS = frozenset(("json.load", "json.loads", "object_in", "value_in"))
#: Functions that read and parse a JSON file, with the reason why they may.
OTHER_JSON_READERS: Mapping[str, str] = {
    "agents.availability.local_availability.installed_version": (
        "package managers create hard links"
    ),
    "agents.driver_process.logins._complete_content": "any JSON value counts",
    "agents.driver_process.spec_file.read": "raises: without the input, the driver cannot start",
    "agents.prices.price_table._table": "a file of the product",
    "agents.survey.analysis.result.read_result": "raises an error with the cause",
    "agents.survey.assignment.survey_task.read_task": "raises an error with the cause",
    "api.access.browser_sessions._stored": "logs the cause",
    "api.mcp.tools_file.definitions": "a file of the product",
    "cli.demo.story.of": "a file of the demo",
    "cli.offline.jobs_on_disk._status": "prints the cause",
    "cli.setup.integrations.triggers.test_command": "the user names the file",
    "engine.service.triggers.event_feedback._stored_remarks": "a failed read is repeated later",
    "launchers.cluster.connection.node_registry._read": "raises: nodes must not be lost silently",
    "launchers.cluster.node.join_file.read": "raises: the user names the file",
    "launchers.exit_record.exit_record.living_shim": "only the first line counts",
    "security.files.json_file._value": "the function that the others use",
}
KILLERS = frozenset({"kill", "killpg", "pidfd_send_signal"})
KILLING_PACKAGES = frozenset({"launchers", "composition", "cli"})
#: The driver stops the program that it started, in the program's own process group, because only
#: the driver knows that an agent exceeded a limit, hangs, or gave its final answer. A loop's bash
#: tool ends its commands in the same way. The shim kills processes that leave the group. A git that
#: takes too long is a child of this process, which has not reaped it.
KILLING_MODULES = frozenset(
    {
        f"{TOP}.agents.driver_process.agent_process",
        f"{TOP}.agents.model_loop.tools.bash",
        f"{TOP}.git.command.git_process",
    }
)
#: Modules that name a path in /proc, in addition to ``system.process_table``.
PROC_MODULES = frozenset(
    f"{TOP}.{name}"
    for name in (
        # Figures of the machine, and the number of the server's own descriptors.
        "engine.runtime.machine_headroom",
        # Mounted file systems, and the server's own control group.
        "cli.doctor.machine",
        "launchers.local.containment_selection",
        # Files of the process itself: descriptors, title, identities in a namespace. bubblewrap
        # only mounts /proc.
        "launchers.containment.bubblewrap",
        "launchers.containment.pid_namespace",
        "launchers.process.process_control",
        "launchers.shim.worker_log",
        "launchers.spawner.early_fork",
        # The shim's readings of its worker: shares of memory, and the OOM scores that it sets.
        "launchers.process.worker_limits",
        "launchers.process.worker_process",
    )
)
#: The only modules of agents that may handle signals.
SIGNALLED = (f"{TOP}.agents.driver_process.", f"{TOP}.agents.model_loop.tools.bash")


@dataclass(frozen=True)
class Module:
    name: str
    nodes: Nodes
    is_package: bool

    @property
    def package(self) -> str:
        """The part of the design that the module belongs to; empty for ``orchestrator`` itself."""
        return package_of(self.name)


@dataclass(frozen=True)
class Import:
    module: str
    imported: str
    line: int

    @property
    def foreign(self) -> str:
        """The top-level name of a third-party module; empty for the product's own."""
        top = self.imported.split(".")[0]
        return "" if top == TOP else top

    def __str__(self) -> str:
        return f"{self.module} (line {self.line}) imports {self.imported}"


def package_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@cache
def modules() -> Mapping[str, Module]:
    found = (module_of(path, nodes) for path, nodes in source_nodes().items())
    return {module.name: module for module in found}


def module_of(path: Path, nodes: Nodes) -> Module:
    parts = (TOP, *path.with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, nodes, is_package)


def imports_of(module: Module, known: Iterable[str]) -> Iterator[Import]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module.name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            source = source_of(module, node)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield Import(module.name, inner if inner in known else source, node.lineno)


def source_of(module: Module, node: ast.ImportFrom) -> str:
    """Return the module between ``from`` and ``import``, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    up = node.level - 1 if module.is_package else node.level
    here = module.name.split(".")
    base = here[: len(here) - up]
    return ".".join([*base, node.module] if node.module else base)


@cache
def imports() -> tuple[Import, ...]:
    known = modules()
    return tuple(each for module in known.values() for each in imports_of(module, known))


def wrong(forbidden: Callable[[Import], bool]) -> str:
    return "\n".join(str(each) for each in imports() if forbidden(each))


def too_high(each: Import) -> bool:
    above, below = package_of(each.module), package_of(each.imported)
    if each.foreign or above == below:
        return False
    if not above or not below:
        return bool(below)
    return LEVELS[below] >= LEVELS[above]


# The layers


def test_every_package_has_its_place_in_the_design() -> None:
    strange = {module.package for module in modules().values()} - {"", *LEVELS}
    assert not strange, f"not in LEVELS: {', '.join(sorted(strange))}"


def test_a_module_imports_only_lower_layers_and_its_own_package() -> None:
    found = wrong(too_high)
    assert not found, f"imports go downward only, never sideways:\n{found}"


def test_the_core_imports_only_the_standard_library() -> None:
    found = wrong(
        lambda each: (
            package_of(each.module) == "core"
            and bool(each.foreign)
            and each.foreign not in sys.stdlib_module_names
        )
    )
    assert not found, f"core is standard library only:\n{found}"


def test_the_core_does_no_input_or_output() -> None:
    found = wrong(lambda each: package_of(each.module) == "core" and each.foreign in INPUT_OUTPUT)
    assert not found, f"core reads no clock, file, socket or process:\n{found}"


def test_the_core_knows_paths_and_files_as_types_only() -> None:
    used = [
        f"{module.name} (line {node.lineno}) calls {called(node)}"
        for module in modules().values()
        if module.package == "core"
        for node in module.nodes
        if isinstance(node, ast.Call) and called(node).split(".")[0] in {"open", "Path"}
    ]
    assert not used, "core opens no files:\n" + "\n".join(used)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for each in imports():
        if not each.foreign and each.imported != each.module:
            graph[each.module].add(each.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_rooms_of_a_folder_do_not_import_each_other_in_a_circle() -> None:
    graphs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in imports():
        above, below = each.module.split("."), each.imported.split(".")
        shared = 0
        while above[shared : shared + 1] == below[shared : shared + 1] != []:
            shared += 1
        if not each.foreign and shared < min(len(above), len(below)):
            graphs[".".join(above[:shared])][above[shared]].add(below[shared])
    for folder, graph in graphs.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(f"rooms of {folder} import each other: {' <- '.join(error.args[1])}")


def test_folders_of_a_package_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for each in imports():
        above, below = folder_of(each.module), folder_of(each.imported)
        if not each.foreign and above != below and package_of(above) == package_of(below):
            graph[above].add(below)
    found = "\n".join(" <-> ".join(sorted(cycle)) for cycle in cycles(graph))
    assert not found, f"move a module to the folder of its subject:\n{found}"


def folder_of(name: str) -> str:
    """Return the folder of a module; a package's ``__init__`` lies in the package itself."""
    known = modules().get(name)
    return name if known and known.is_package else name.rpartition(".")[0]


def cycles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the strongly connected components of a graph."""
    reached = {node: reached_nodes(graph, node) for node in graph}
    groups = (
        frozenset(other for other in reached[node] if node in reached.get(other, ()))
        for node in graph
    )
    return {group for group in groups if group}


def reached_nodes(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the nodes at the end of one or more edges."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph.get(ahead.pop(), set()) - seen
        seen |= new
        ahead += new
    return seen


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_of_a_package_import_only_lower_rooms(package: str) -> None:
    levels = {room: at for at, rooms in enumerate(ROOMS[package]) for room in rooms.split()}
    inside = f"{TOP}.{package}."
    there = {name.removeprefix(inside).split(".")[0] for name in modules() if inside in name}
    assert there == set(levels), "each room needs a level in ROOMS"

    def too_high(each: Import) -> bool:
        if not (each.module.startswith(inside) and each.imported.startswith(inside)):
            return False
        above, below = (
            name.removeprefix(inside).split(".")[0] for name in (each.module, each.imported)
        )
        return above != below and levels[below] >= levels[above]

    found = wrong(too_high)
    assert not found, f"rooms of {package} import downward only (ROOMS):\n{found}"


def test_a_folder_shows_few_entries() -> None:
    entries = Counter(name.rpartition(".")[0] for name in modules())
    # One module for each change of the schema, in order, so no folders are needed.
    del entries[f"{TOP}.store.migrations.versions"]
    full = {name: n for name, n in entries.items() if n > (MOST_PARTS if name == TOP else MOST)}
    assert not full, f"too many entries; move modules of one subject to a new folder: {full}"


# The rooms in their packages and in docs/internals/architecture.md

ROOM = re.compile(r"^- ``(\w+)``: (.+)$", re.MULTILINE)
TABLE = re.compile(r"^\| folder in `([\w/]+)/` \| subject \|\n\| --- \| --- \|\n", re.MULTILINE)
ARCHITECTURE = (PACKAGE.parent / "docs" / "internals" / "architecture.md").read_text("utf-8")


def rooms_of(package: str) -> list[str]:
    """Return the names of a package's sub-packages."""
    return sorted(
        name.rpartition(".")[2]
        for name, module in modules().items()
        if module.is_package and name.rpartition(".")[0] == package
    )


def listed_rooms(package: str) -> list[tuple[str, str]]:
    """Return name and subject of each sub-package, as the package's docstring lists them."""
    tree = modules()[package].nodes[0]
    assert isinstance(tree, ast.Module)
    return ROOM.findall(ast.get_docstring(tree) or "")


def test_a_package_lists_its_rooms_in_one_line_each() -> None:
    wrong_lists = [
        f"{package} lists {listed}, and has {there}"
        for package, module in modules().items()
        if module.is_package
        and (listed := [name for name, _ in listed_rooms(package)]) != (there := rooms_of(package))
    ]
    assert not wrong_lists, "one line each, '- ``name``: subject':\n" + "\n".join(wrong_lists)


def test_the_architecture_lists_the_rooms_as_their_packages_do() -> None:
    parts = [f"{TOP}.{name}" for name in rooms_of(TOP)]
    with_rooms = [part for part in parts if len(rooms_of(part)) > 1]
    shown = [f"{TOP}.{path.replace('/', '.')}" for path in TABLE.findall(ARCHITECTURE)]
    assert not set(with_rooms) - set(shown), (
        "each of them needs a table in docs/internals/architecture.md"
    )
    for package in shown:
        table = room_table(package)
        assert f"{table}\n" in f"{ARCHITECTURE}\n", (
            f"docs/internals/architecture.md needs this table:\n{table}"
        )


def room_table(package: str) -> str:
    rows = [
        f"| `{name}/` | {subject.replace('``', '`')} |" for name, subject in listed_rooms(package)
    ]
    path = package.removeprefix(f"{TOP}.").replace(".", "/")
    return "\n".join([f"| folder in `{path}/` | subject |", "| --- | --- |", *rows, ""])


# Code with one place


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_library_is_imported_only_where_it_is_at_home(name: str) -> None:
    found = wrong(lambda each: each.foreign == name and package_of(each.module) not in HOMES[name])
    assert not found, f"{name} belongs in {', '.join(sorted(HOMES[name]))} only:\n{found}"


def test_only_launchers_signal_other_processes() -> None:
    used = [
        f"{module.name} (line {node.lineno}) calls {called(node)}"
        for module in modules().values()
        if module.package not in KILLING_PACKAGES and module.name not in KILLING_MODULES
        for node in module.nodes
        if isinstance(node, ast.Call) and called(node) in {f"os.{name}" for name in KILLERS}
    ]
    assert not used, (
        "process signals belong in launchers/ and to workers' own tools only:\n" + "\n".join(used)
    )


def test_processes_are_read_in_one_module() -> None:
    naming = {
        module.name
        for module in modules().values()
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.match("/proc(/|$)", node.value)
    }
    assert naming == PROC_MODULES | {f"{TOP}.system.process_table"}, (
        "add the reading to system/process_table.py"
    )


def test_only_the_driver_of_agents_handles_signals() -> None:
    found = wrong(
        lambda each: (
            each.foreign == "signal"
            and package_of(each.module) == "agents"
            and not each.module.startswith(SIGNALLED)
        )
    )
    assert not found, f"signals are for the driver:\n{found}"


def test_no_callback_is_assigned_from_outside_of_its_object() -> None:
    found = [
        f"{module.name}: {ast.unparse(node)}"
        for module in modules().values()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if node.attr.startswith("on_") or node.attr in callbacks()
        if ast.unparse(node.value) != "self"
    ]
    assert not found, f"give it to the constructor, or post a message: {found}"


@cache
def callbacks() -> frozenset[str]:
    """Return the names of attributes whose declared type is a function, and that can be assigned.

    The fields of a frozen dataclass cannot.
    """
    nodes = [node for module in modules().values() for node in module.nodes]
    aliases = frozenset(
        ast.unparse(node.targets[0])
        for node in nodes
        if isinstance(node, ast.Assign) and is_callable_type(node.value, frozenset())
    )
    declared = [
        each
        for node in nodes
        if isinstance(node, ast.ClassDef) and not any(map(is_frozen, node.decorator_list))
        for each in node.body
        if isinstance(each, ast.AnnAssign)
    ]
    own = (each for each in nodes if isinstance(each, ast.AnnAssign))
    declared += [each for each in own if isinstance(each.target, ast.Attribute)]
    return frozenset(
        ast.unparse(each.target).removeprefix("self.")
        for each in declared
        if is_callable_type(each.annotation, aliases)
    )


def is_frozen(decorator: ast.expr) -> bool:
    return "frozen=True" in ast.unparse(decorator)


def is_callable_type(node: ast.expr, aliases: frozenset[str]) -> bool:
    """True for ``Callable[...]``, an alias of it, or one of them with ``| None``."""
    match node:
        case ast.Subscript(value=ast.Name(id="Callable")):
            return True
        case ast.Name(id=name):
            return name in aliases
        case ast.BinOp(left=left, right=right):
            return is_callable_type(left, aliases) or is_callable_type(right, aliases)
        case _:
            return False


def test_json_files_are_read_by_one_function() -> None:
    found = {
        f"{module.name.removeprefix(f'{TOP}.')}.{node.name}"
        for module in modules().values()
        for node in module.nodes
        if isinstance(node, ast.FunctionDef) and reads_json(node)
    }
    assert found - OTHER_JSON_READERS.keys() == set(), (
        "use security/files/json_file.py, or name the reason in OTHER_JSON_READERS"
    )
    assert OTHER_JSON_READERS.keys() - found == set(), (
        "these functions no longer read JSON: remove them"
    )


def reads_json(function: ast.FunctionDef) -> bool:
    """True if the function itself reads a file and parses JSON."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    names = {each.attr if isinstance(each, ast.Attribute) else ast.unparse(each) for each in calls}
    parses = {ast.unparse(each).removeprefix("json_values.") for each in calls} & JSON_PARSERS
    return bool(parses and names & FILE_READERS)


def called(node: ast.Call) -> str:
    """Return a name such as ``open`` or ``os.kill``; empty for longer expressions."""
    match node.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case _:
            return ""


@pytest.mark.parametrize(
    "start",
    [
        "launchers.shim.shim",
        "launchers.spawner.spawner",
        "cli.worker.spawn",
        "agents.driver_process.main",
    ],
)
def test_modules_that_must_start_fast_import_only_the_standard_library_and_siblings(
    start: str,
) -> None:
    name = f"{TOP}.{start}"
    if name not in modules():
        pytest.skip(f"{name} is not written yet")
    found = "\n".join(str(each) for each in reached_from(name) if not may_start_fast(each))
    assert not found, f"{name} runs without any package, and starts in no time:\n{found}"


def may_start_fast(each: Import) -> bool:
    if each.foreign:
        return each.foreign in sys.stdlib_module_names
    return package_of(each.imported) in {"", package_of(each.module)} or each.imported in LIGHT


def reached_from(name: str) -> Iterator[Import]:
    """Return the modules that a module imports, directly or indirectly, with their packages.

    The module's own package is excluded, unless an import names it: ``spawn.py`` runs by its path,
    without its package.
    """
    seen: set[str] = set()
    ahead = [name]
    while ahead:
        here = ahead.pop()
        if here in seen or here not in modules():
            continue
        seen.add(here)
        for each in imports():
            if each.module == here:
                yield each
                ahead += [each.imported, each.imported.rpartition(".")[0]]


# Tests of this test


def example(name: str, source: str, *, is_package: bool = False) -> list[str]:
    known = {f"{TOP}.core.model", f"{TOP}.core", f"{TOP}.store.tables"}
    module = Module(f"{TOP}.{name}", nodes_of(source), is_package)
    return [each.imported for each in imports_of(module, known)]


def test_imports_are_found_wherever_they_hide() -> None:
    hidden = "def f():\n    if x:\n        import os.path, socket"
    assert example("core.a", hidden) == ["os.path", "socket"]
    assert example("core.a", "from . import model") == ["orchestrator.core.model"]
    assert example("core.a", "from .model import Job") == ["orchestrator.core.model"]
    assert example("core.a", "from ..store import tables") == ["orchestrator.store.tables"]
    assert example("core", "from .model import Job", is_package=True) == ["orchestrator.core.model"]
    assert example("core.a", "from orchestrator.core import model, x") == [
        "orchestrator.core.model",
        "orchestrator.core",
    ]


@pytest.mark.parametrize(
    ("above", "below", "allowed"),
    [
        ("engine.supervisor", "core.model", True),
        ("cli.jobs.run", "api.client", True),
        ("core.dag", "core.model", True),
        ("core.dag", "config.settings", False),
        ("engine.supervisor", "store.tables", False),
        ("config.settings", "schemas.text", False),
        ("api.views", "cli.jobs.run", False),
    ],
)
def test_an_import_goes_down_never_up_or_sideways(above: str, below: str, allowed: bool) -> None:
    assert too_high(Import(f"{TOP}.{above}", f"{TOP}.{below}", 1)) is not allowed


def test_a_cycle_has_all_nodes_that_reach_each_other() -> None:
    chain = {"a": {"b"}, "b": {"c"}}
    assert cycles(chain) == set()
    assert cycles({**chain, "c": {"b"}}) == {frozenset("bc")}
    assert cycles({**chain, "c": {"a"}}) == {frozenset("abc")}
    assert cycles({**chain, "c": {"b", "d"}, "d": {"e"}, "e": {"d"}}) == {
        frozenset("bc"),
        frozenset("de"),
    }


def test_a_folder_has_its_init_and_its_modules() -> None:
    assert folder_of(f"{TOP}.core.model") == f"{TOP}.core.model"
    assert folder_of(f"{TOP}.core.model.job") == f"{TOP}.core.model"


def test_the_package_itself_imports_nothing_of_its_parts() -> None:
    assert too_high(Import(TOP, f"{TOP}.core.model", 1))
    assert not too_high(Import(f"{TOP}.core.model", TOP, 1))


@pytest.mark.parametrize(
    "name", ["orchestrator.composition", "orchestrator.git", "orchestrator.gates"]
)
def test_every_name_that_a_package_loads_when_it_is_used_exists(name: str) -> None:
    package = import_module(name)

    assert [each for each in package._HOMES if getattr(package, each, None) is None] == []
