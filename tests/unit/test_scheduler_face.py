"""The scheduler takes events and answers queries; its parts are private. Read from the source."""

import ast

from tests.unit.test_layers import TOP, modules, package_of, wrong

#: Other packages use the modules at the top of this room.
SCHEDULER = f"{TOP}.core.scheduler"


def test_only_the_core_imports_the_scheduler_s_inside() -> None:
    inside = tuple(f"{SCHEDULER}.{room}" for room in ("state", "transitions"))
    found = wrong(
        lambda each: package_of(each.module) != "core" and each.imported.startswith(inside)
    )
    assert not found, f"use {SCHEDULER}.scheduler, and the values in its room:\n{found}"


def test_the_scheduler_shows_no_part_but_its_view_and_its_leases() -> None:
    parts = attributes(f"{SCHEDULER}.scheduler")
    assert {name for name in parts if not name.startswith("_")} == {"view", "leases"}


def test_only_the_core_touches_a_part_of_the_scheduler() -> None:
    face = ("scheduler", "view", "leases")
    parts = {name for each in face for name in attributes(f"{SCHEDULER}.{each}") if name[0] == "_"}
    used = [
        f"{module.name} (line {node.lineno}) uses {ast.unparse(node)}"
        for module in modules().values()
        if module.package != "core"
        for node in module.nodes
        if isinstance(node, ast.Attribute)
        and node.attr in parts
        and ast.unparse(node.value) not in {"self", "cls"}
    ]
    assert not used, "the scheduler takes events and answers queries:\n" + "\n".join(used)


def attributes(name: str) -> set[str]:
    """Return the own attributes of the objects of a module's classes."""
    return {
        node.attr
        for node in modules()[name].nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }
