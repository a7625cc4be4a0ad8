"""The scheduler's interface: it takes events and answers queries; its parts are private."""

import ast
from collections.abc import Callable, Iterator

from tests.unit.test_layers import TOP, Module, modules, source_of, wrong

SCHEDULER = f"{TOP}.core.scheduler"
#: The modules that other packages may import: their classes are the scheduler's interface.
FACE = ("scheduler", "scheduler_view", "lock_leases", "manual_changes")
#: The folders with the scheduler's parts.
PARTS = tuple(f"{SCHEDULER}.{folder}." for folder in ("queue", "state", "transitions"))


def is_inside(name: str) -> bool:
    return name == SCHEDULER or name.startswith(f"{SCHEDULER}.")


def is_part(name: str) -> bool:
    return f"{name}.".startswith(PARTS)


def test_only_the_scheduler_imports_its_parts() -> None:
    found = wrong(lambda each: is_part(each.imported) and not is_inside(each.module))
    assert not found, f"use {SCHEDULER}.scheduler, and the types of core.model:\n{found}"


def test_the_scheduler_s_folder_has_its_interface_and_its_parts() -> None:
    inside = {name for name in modules() if is_inside(name) and not is_part(name)}
    assert inside == {SCHEDULER, *(f"{SCHEDULER}.{name}" for name in FACE)}


def test_the_scheduler_s_interface_has_no_type_of_its_parts() -> None:
    found = [
        f"{module.name}: {function.name} (line {function.lineno}) has the type {name.id}"
        for module in face()
        for function in interface_of(module)
        for name in annotated(function)
        if name.id in part_types(module)
    ]
    assert not found, "callers would need the scheduler's parts:\n" + "\n".join(found)


def test_the_scheduler_shows_no_part_but_its_view_and_its_leases() -> None:
    shown = attributes(modules()[f"{SCHEDULER}.scheduler"])
    assert {name for name in shown if not name.startswith("_")} == {"view", "leases"}


def test_only_the_scheduler_touches_its_parts() -> None:
    parts = {name for module in face() for name in attributes(module) if name[0] == "_"}
    found = used(lambda node: node.attr in parts and ast.unparse(node.value) not in {"self", "cls"})
    assert not found, "the scheduler takes events and answers queries:\n" + "\n".join(found)


def test_only_the_scheduler_takes_the_turn_of_its_leases() -> None:
    own = {"turn", "next_time", "attempt_ended"}
    found = used(lambda node: node.attr in own and ast.unparse(node.value).endswith("leases"))
    assert not found, "the scheduler's own turn does this:\n" + "\n".join(found)


def face() -> Iterator[Module]:
    return (modules()[f"{SCHEDULER}.{name}"] for name in FACE)


def attributes(module: Module) -> set[str]:
    """Return the own attributes of the objects of a module's classes."""
    return {
        node.attr
        for node in module.nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }


def used(forbidden: Callable[[ast.Attribute], bool]) -> list[str]:
    """Return the places outside of the scheduler that use a forbidden attribute."""
    return [
        f"{module.name} (line {node.lineno}) uses {ast.unparse(node)}"
        for module in modules().values()
        if not is_inside(module.name)
        for node in module.nodes
        if isinstance(node, ast.Attribute) and forbidden(node)
    ]


def part_types(module: Module) -> set[str]:
    """Return the names that a module imports from the scheduler's parts."""
    return {
        alias.asname or alias.name
        for node in module.nodes
        if isinstance(node, ast.ImportFrom) and is_part(source_of(module, node))
        for alias in node.names
    }


def interface_of(module: Module) -> Iterator[ast.FunctionDef]:
    """Return the functions that other packages call: the scheduler alone creates its view."""
    for node in module.nodes:
        is_own = isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_")
            or (node.name == "__init__" and module.name.endswith(".scheduler"))
        )
        if is_own:
            yield node


def annotated(function: ast.FunctionDef) -> Iterator[ast.Name]:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    for annotation in (function.returns, *(each.annotation for each in every)):
        for node in ast.walk(annotation) if annotation else ():
            if isinstance(node, ast.Name):
                yield node
