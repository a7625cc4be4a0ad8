"""The decorator ``dataclass``, which compiles a class's methods when they are first used.

The standard decorator compiles up to seven functions for each class, which takes a fifth of the
server's startup time. In the first second of a process, most classes have no objects and need no
methods.

``changed`` is a faster form of ``dataclasses.replace``.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import repeat
from operator import attrgetter, call
from typing import TYPE_CHECKING, Any, TypeVar

#: Methods that the standard decorator generates if the class or its options request them.
_METHODS = frozenset(
    (
        *("__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__"),
        *("__setattr__", "__delattr__", "__getstate__", "__setstate__"),
    )
)

#: Methods that few classes use. The first call of one of these methods compiles all of them.
_COMPARING = frozenset(("__repr__", "__eq__", "__hash__"))

_set = object.__setattr__

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, **options: Any) -> type | Callable[[type], type]:
        """Like ``dataclasses.dataclass``, but without ``InitVar``.

        The first object of a class must be created by a call of the class, not by ``pickle`` or
        ``__new__``. Any thread may create the first object.
        """

        def declare(cls: type) -> type:
            return _declare(cls, **options)

        return declare if cls is None else declare(cls)


def _declare(
    cls: type, *, init: bool = True, slots: bool = False, kw_only: bool = False, **options: Any
) -> type:
    if not init or "__init__" in cls.__dict__:
        return dataclasses.dataclass(init=init, slots=slots, kw_only=kw_only, **options)(cls)
    # Without a docstring, the standard decorator computes the signature, which is slow
    cls.__doc__ = cls.__doc__ or cls.__name__
    declare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
    declared: Any = declare(cls)
    own_methods = {name: cls.__dict__[name] for name in _METHODS & cls.__dict__.keys()}

    is_plain = all(field.init for field in dataclasses.fields(declared))
    is_plain = is_plain and not (own_methods.keys() & _COMPARING or options.keys() - {"frozen"})

    def complete(self: object, /, *args: Any, **kwargs: Any) -> None:
        # No lock is needed: threads that create the first objects at the same time set equal
        # methods
        if is_plain:
            methods = _lazy_methods(declared, **options) | own_methods
            init = _initializer(declared, has_slots=slots, **options)
        else:
            methods = _methods(declared, own_methods, slots=slots, **options)
            init = methods.pop("__init__")
        if options.get("frozen"):
            fixed = _frozen_methods(declared, has_slots=slots)
            methods |= {name: fixed[name] for name in fixed.keys() - own_methods.keys()}
        for name, method in methods.items():
            setattr(declared, name, method)
        # Set last: from now on, other threads create objects with the methods set above
        declared.__init__ = init
        declared.__init__(self, *args, **kwargs)

    declared.__init__ = complete
    return declared  # type: ignore[no-any-return]


def _initializer(cls: type, *, has_slots: bool, frozen: bool = False) -> Any:
    """Return the method ``__init__`` of a class.

    For a class with slots, the returned method sets each field through the field's slot. This takes
    a third of the time that the standard method takes.
    """
    namespace: dict[str, Any] = {"_missing": dataclasses.MISSING, "_set": _set}
    parameters, keywords, lines = ["self"], ["*"], []
    for field in dataclasses.fields(cls):
        name = parameter = value = field.name
        if field.default_factory is not dataclasses.MISSING:
            namespace[f"_make_{name}"] = field.default_factory
            parameter = f"{name}=_missing"
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif field.default is not dataclasses.MISSING:
            namespace[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        (keywords if field.kw_only else parameters).append(parameter)
        if has_slots:
            namespace[f"_set_{name}"] = getattr(cls, name).__set__
            lines.append(f" _set_{name}(self, {value})")
        else:
            lines.append(f" _set(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    signature = ", ".join([*parameters, *(keywords if len(keywords) > 1 else ())])
    exec(f"def __init__({signature}):\n" + "\n".join(lines or [" pass"]), namespace)
    init = namespace["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _frozen_methods(cls: type, *, has_slots: bool) -> dict[str, Any]:
    """Return the methods of a frozen class that reject changes to fields.

    For a class with slots, also return the methods that ``copy`` and ``pickle`` call.
    """
    names = tuple(each.name for each in dataclasses.fields(cls))

    def check(self: object, name: str, change: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot {change} field {name!r}")

    def set_field(self: object, name: str, value: object) -> None:
        check(self, name, "assign to")
        _set(self, name, value)

    def delete_field(self: object, name: str) -> None:
        check(self, name, "delete")
        object.__delattr__(self, name)

    def state(self: object) -> list[object]:
        return [getattr(self, name) for name in names]

    def set_state(self: object, state: Sequence[object]) -> None:
        for name, value in zip(names, state, strict=True):
            _set(self, name, value)

    methods: dict[str, Any] = {"__setattr__": set_field, "__delattr__": delete_field}
    return {**methods, "__getstate__": state, "__setstate__": set_state} if has_slots else methods


def _lazy_methods(cls: type, *, frozen: bool = False) -> dict[str, Any]:
    def lazy(name: str) -> Callable[..., Any]:
        def method(self: object, /, *args: object) -> Any:
            for method_name, compiled in _methods(cls, {}, init=False, frozen=frozen).items():
                if method_name in _COMPARING:
                    setattr(cls, method_name, compiled)
            return getattr(cls, name)(self, *args)

        return method

    methods: dict[str, Any] = {name: lazy(name) for name in _COMPARING}
    # As in the standard decorator, objects of a class that is not frozen have no hash
    return methods if frozen else {**methods, "__hash__": None}


def _methods(cls: type, own_methods: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    fields = {each.name: each for each in dataclasses.fields(cls)}
    body = {
        **own_methods,
        **({"__post_init__": cls.__post_init__} if hasattr(cls, "__post_init__") else {}),
        **fields,
        "__annotations__": {name: each.type for name, each in fields.items()},
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
    }
    template: type = dataclasses.dataclass(**options)(type(cls.__name__, (), body))
    return {name: template.__dict__[name] for name in _METHODS & template.__dict__.keys()}


Value = TypeVar("Value")

#: Runs an iterator to its end.
_run = deque[object](maxlen=0).extend


def changed(value: Value, /, **changes: Any) -> Value:
    """Return a copy with changed fields. Four times as fast as ``dataclasses.replace``.

    Only for frozen dataclasses with slots, at least two fields, and no ``__post_init__``. Raise
    AttributeError for an unknown field.
    """
    kind: Any = type(value)
    new: Value = object.__new__(kind)
    setters, fields_of = _slots(kind)
    _run(map(call, setters, repeat(new), fields_of(value)))
    for name, new_value in changes.items():
        _set(new, name, new_value)
    return new


@cache
def _slots(kind: type) -> tuple[list[Any], Any]:
    names: Any = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    return [getattr(kind, name).__set__ for name in names], attrgetter(*names)
