"""Path rules that generate the code for building a path only when it is first needed.

For each rule, werkzeug compiles two functions, with which ``url_for`` builds a path. This takes
four fifths of the time to assemble the application, and few paths are built.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class LateRule(Rule):
    """A rule that compiles its functions at their first use.

    Overrides an internal method of werkzeug, so a test builds a path.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., Any]:
        compiled: list[Callable[..., Any]] = []

        def build(rule: Rule, /, *values: Any, **named: Any) -> Any:
            if not compiled:
                # Two threads may both compile it: the functions are equal.
                compiled.append(super(LateRule, self)._compile_builder(append_unknown))
            return compiled[0](rule, *values, **named)

        return build
