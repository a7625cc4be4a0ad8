"""Rules for paths that make the code for building a path when it is first needed.

Werkzeug writes and compiles two functions for each rule, by which ``url_for`` builds its path. This
takes four fifths of the time to assemble the application, and few paths are built.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class LateRule(Rule):
    """Depends on an internal method of werkzeug, which is why a test builds a path."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., Any]:
        compiled: list[Callable[..., Any]] = []

        def build(rule: Rule, /, *values: Any, **named: Any) -> Any:
            if not compiled:
                # Two threads may both compile it: the functions are equal.
                compiled.append(super(LateRule, self)._compile_builder(append_unknown))
            return compiled[0](rule, *values, **named)

        return build
