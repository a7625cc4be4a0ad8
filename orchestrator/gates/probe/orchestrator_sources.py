"""Which of the project's sources a Python of a gate read from elsewhere.

It runs in the project's own Python, of any version: standard library only, no package of ours.
"""

import os
import sys

_FOREIGN = ("site-packages", "dist-packages", "node_modules")


def report() -> None:
    """Append modules that lie in the user's checkout to the file that the gate was given."""
    checkout = os.environ.get("ORCHESTRATOR_GATE_CHECKOUT", "")
    target = os.environ.get("ORCHESTRATOR_GATE_SOURCES", "")
    if not (checkout and target):
        return
    left = os.environ.get("ORCHESTRATOR_GATE_LEFT_OUT", "").split(os.pathsep)
    left += [sys.prefix, sys.base_prefix]
    found = []
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and _is_source(os.path.realpath(path), checkout, left):
            found.append(f"{name}\t{os.path.realpath(path)}\n")
    if found:
        with open(target, "a") as file:
            file.write("".join(found))


def _is_source(path: str, checkout: str, left: "list[str]") -> bool:
    if not path.startswith(checkout + os.sep):
        return False
    if any(part in _FOREIGN for part in path.split(os.sep)):
        return False
    return not any(each and path.startswith(each + os.sep) for each in left)
