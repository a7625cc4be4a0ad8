"""Files that an agent's tools write, from the arguments of their calls."""

from orchestrator.core.text import json_values

#: Tools of all agents that write the file named in their arguments.
_TOOLS = frozenset(
    ("write", "edit", "multiedit", "notebookedit", "write_file", "replace", "apply_patch", "patch")
)
_NAMES = ("file_path", "filePath", "notebook_path", "path")


def edited(tool: str, arguments: object) -> tuple[str, ...]:
    """Return the file that the tool writes, as the agent wrote its path; empty if the tool writes
    no file.
    """
    if tool.lower() not in _TOOLS:
        return ()
    return tuple(filter(None, (json_values.text(arguments, name) for name in _NAMES)))[:1]
