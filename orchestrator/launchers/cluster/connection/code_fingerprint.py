"""The fingerprint of the code that a node and its server must share."""

import hashlib
from functools import cache
from pathlib import Path

from orchestrator import launchers
from orchestrator.core.ports import launcher


@cache
def code_fingerprint() -> str:
    """Return the fingerprint of the code that launches workers, as this process has loaded it.

    Call this when the process starts, because an update may replace the files later.
    """
    root = Path(str(launchers.__file__)).parent
    digest = hashlib.sha256()
    for path in (*sorted(root.rglob("*.py")), Path(str(launcher.__file__))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
