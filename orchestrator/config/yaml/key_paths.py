"""Paths of values in ``config.yaml``: names and list positions, such as ``workers.max_workers``."""

FILE_NAME = "config.yaml"
#: Names and list positions that lead to a value: ``("api", "port")``.
KeyPath = tuple[str | int, ...]


def dotted(path: KeyPath) -> str:
    """Return a path as text, such as ``agents.mine.command[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
