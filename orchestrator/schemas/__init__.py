"""Models of requests and answers of the API, from which the OpenAPI document is built.

- ``agent_output``: Answers of agents, checked by a schema: plans and reviews
- ``answers``: Answers to callers
- ``fields``: Types of fields, and validation errors
- ``requests``: Requests of callers
- ``requests_with_answers``: Requests and their answers: logins, locks, merges, outbox, tasks API

The packages ``answers``, ``requests``, and ``requests_with_answers`` import each module at the
module's first use.
"""

from collections.abc import Callable
from importlib import import_module


def import_at_first_use(package: str) -> Callable[[str], object]:
    """Return a ``__getattr__`` for ``package`` that imports each module at the module's first use.

    The ``__getattr__`` raises AttributeError if the package has no such module.
    """

    def module(name: str) -> object:
        path = f"{package}.{name}"
        try:
            return import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None

    return module
