"""The product's ``dataclass`` behaves like the standard ``dataclass``."""

import ast
import copy
import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, replace
from typing import Any

import pytest

from orchestrator.core.lazy_dataclass import dataclass
from tests.support.sources import source_nodes

OPTIONS: tuple[dict[str, bool], ...] = (
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"frozen": True, "order": True},
    {"eq": False, "slots": True},
    {"repr": False},
    {"unsafe_hash": True},
)


def _point(decorator: Callable[..., Any], **options: bool) -> Any:
    class Point:
        x: int
        y: "int" = 2
        tags: list[str] = field(default_factory=list)
        hidden: int = field(default=0, repr=False, compare=False)

    return decorator(**options)(Point)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_object_behaves_as_one_of_a_standard_dataclass(options: dict[str, bool]) -> None:
    kinds = [_point(decorator, **options) for decorator in (dataclass, dataclasses.dataclass)]

    ours, standard = (_behavior(kind) for kind in kinds)

    assert ours == standard


def _behavior(kind: Any) -> dict[str, object]:
    """Return the results and errors of each use of a class."""
    uses: dict[str, Callable[[], object]] = {
        "repr": lambda: _shown(kind(x=1)),
        "positional": lambda: kind(1, 3).y,
        "missing": lambda: kind(),
        "unknown": lambda: kind(x=1, z=1),
        "equal": lambda: kind(x=1) == kind(x=1, hidden=5),
        "unequal": lambda: kind(x=1) == kind(x=2),
        "other kind": lambda: kind(x=1) == (1, 2, [], 0),
        "hash": lambda: hash(kind(x=1, tags=())) == hash(kind(x=1, tags=())),
        "order": lambda: (kind(x=1) < kind(x=2), kind(x=1) >= kind(x=2)),
        "assign": lambda: setattr(kind(x=1), "x", 2),
        "delete": lambda: delattr(kind(x=1), "x"),
        "own list": lambda: kind(x=1).tags is kind(x=1).tags,
        "replace": lambda: replace(kind(x=1), y=5).y,
        "asdict": lambda: asdict(kind(x=1)),
        "copy": lambda: copy.copy(kind(x=1)).x,
        "pickle state": lambda: copy.deepcopy(kind(x=1, tags=[2])).tags,
        "field below": lambda: setattr(type("Below", (kind,), {})(1), "x", 2),
        "match": lambda: kind.__match_args__,
        "hashable": lambda: kind(x=1).__hash__ is None,
    }
    return {name: _outcome(use) for name, use in uses.items()}


def _shown(value: object) -> str:
    return repr(value).partition(" object at ")[0]


def _outcome(use: Callable[[], object]) -> object:
    try:
        return use()
    except (AttributeError, TypeError) as error:
        return type(error)


def test_methods_of_the_class_stay() -> None:
    @dataclass(frozen=True, slots=True)
    class Name:
        text: str

        def __post_init__(self) -> None:
            object.__setattr__(self, "text", self.text.strip())

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Name) and self.text.lower() == other.text.lower()

        def __repr__(self) -> str:
            return f"<{self.text}>"

    assert Name(" A") == Name("a")
    assert repr(Name(" A ")) == "<A>"
    assert hash(Name("A")) == hash(Name("A "))


def test_a_class_adds_fields_to_those_of_its_base() -> None:
    @dataclass(frozen=True)
    class Base:
        x: int = 1

        def double(self) -> int:
            return 2 * self.x

    @dataclass(frozen=True)
    class Derived(Base):
        y: int = 2

        def double(self) -> int:
            return super().double() + self.y

    assert Derived(3).double() == 8
    assert Derived(3) != Base(3)
    assert Derived(3) == Derived(x=3, y=2)
    with pytest.raises(FrozenInstanceError):
        Derived(3).x = 4  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Derived(3).unknown = 4
    below: Any = type("Below", (Derived,), {})(3)
    below.unknown = 4
    assert (below.unknown, below.x) == (4, 3)


def test_an_init_of_the_class_stays() -> None:
    @dataclass
    class Counter:
        count: int

        def __init__(self) -> None:
            self.count = 7

    assert Counter() == Counter()
    assert repr(Counter()).endswith("Counter(count=7)")


def test_several_threads_may_make_the_first_object() -> None:
    threads = 4
    errors: list[BaseException] = []

    def make(cls: type, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            assert cls(1) == cls(1)
            assert hash(cls(1)) == hash(cls(1))
        except (AssertionError, TypeError) as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):

            @dataclass(frozen=True, slots=True)
            class Point:
                x: int
                y: int = 0

            arguments = (Point, threading.Barrier(threads))
            makers = [threading.Thread(target=make, args=arguments) for _ in range(threads)]
            for maker in makers:
                maker.start()
            for maker in makers:
                maker.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_a_class_compiles_nothing_before_it_is_used() -> None:
    code = (
        "import builtins, dataclasses\n"
        "import orchestrator.core.lazy_dataclass as ours\n"
        "from orchestrator.core.lazy_dataclass import dataclass\n"
        "compiled = []\n"
        "def compile(*given):\n"
        "    if 'self' in given[0]: compiled.append(given)\n"  # 3.14 also compiles empty functions
        "    exec(*given)\n"
        "dataclasses.exec = ours.exec = compile\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Point:\n    x: int\n"
        "before = len(compiled)\n"
        "Point(1), Point(2)\n"
        "created = len(compiled)\n"
        "assert Point(1) == Point(1) and hash(Point(1)) == hash(Point(1))\n"
        "print(before, 0 < created < len(compiled))\n"
        "once = len(compiled)\n"
        "Point(1) != Point(2), hash(Point(3)), repr(Point(1))\n"
        "print(len(compiled) == once)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout.split(), done.stderr) == (["0", "True", "True"], "")


@pytest.mark.parametrize("frozen", [True, False])
def test_methods_that_compare_are_compiled_at_any_of_their_first_calls(frozen: bool) -> None:
    def kinds() -> list[Any]:
        return [_point(each, frozen=frozen) for each in (dataclass, dataclasses.dataclass)]

    uses: list[Callable[[Any], object]] = [
        lambda kind: kind(1) != kind(1),
        lambda kind: kind(1) == kind(2),
        lambda kind: kind(1) in {kind(1, tags=()): 1},
        lambda kind: f"{kind(1)}".rpartition(".")[2],
        lambda kind: type("Below", (kind,), {})(1) == type("Below", (kind,), {})(1),
    ]

    for use in uses:
        ours, standard = (_outcome(lambda use=use, kind=kind: use(kind)) for kind in kinds())  # type: ignore[misc]
        assert ours == standard


def test_every_module_uses_it() -> None:
    standard = [
        str(path)
        for path, nodes in source_nodes().items()
        if str(path) != "core/lazy_dataclass.py"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        if any(each.name == "dataclass" for each in node.names)
    ]

    assert not standard, f"import it from orchestrator.core.lazy_dataclass: {standard}"


@pytest.mark.parametrize("decorator", [dataclass, dataclasses.dataclass])
def test_a_class_with_slots_sets_the_fields_of_its_base_and_calls_post_init(
    decorator: Callable[..., Any],
) -> None:
    class Base:
        x: int
        tags: list[str] = field(default_factory=list)

    base: Any = decorator(frozen=True, slots=True)(Base)

    class Derived(base):  # type: ignore[misc]
        y: int = field(default=2, kw_only=True)
        z: int = field(default=3, init=False)

        def __post_init__(self) -> None:
            self.tags.append(f"{self.x} {self.y}")

    derived: Any = decorator(frozen=True, slots=True)(Derived)

    assert (derived(1).x, derived(1).tags, derived(1, y=5).tags) == (1, ["1 2"], ["1 5"])
    assert derived(1, ["a"]).tags == ["a", "1 2"]
    assert derived(1).z == 3
    assert base(4).tags == []
    with pytest.raises(TypeError):
        derived(1, [], 5)
