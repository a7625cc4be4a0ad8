"""Compares the vendored files of the pages with the npm registry, or updates them.

    python -m tests.tools.vendored          # compare; status 1 if a file differs
    python -m tests.tools.vendored --write  # replace the files, and record their hashes

VENDORED.json has each file's origin (package and file), and the changes to the file.
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parents[2] / "orchestrator" / "api" / "static" / "vendor"


def made_from(text: bytes, entry: dict[str, Any]) -> bytes:
    """Return the content of a package's file with the changes that the entry records."""
    if "replaced" in entry:
        old, new = (each.encode() for each in entry["replaced"])
        text = text.replace(old, new)
    return text + entry.get("appended", "").encode()


def fetched(package: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each recorded file whose origin is recorded."""
    with tempfile.TemporaryDirectory() as place:
        spec = f"{package['name']}@{package['version']}"
        subprocess.run(["npm", "pack", "--silent", spec], cwd=place, check=True)
        [archive] = Path(place).glob("*.tgz")
        with tarfile.open(archive) as given:
            for name, entry in package["files"].items():
                if origin := entry.get("from"):
                    member = given.extractfile(f"package/{origin}")
                    assert member is not None, origin
                    yield name, made_from(member.read(), entry)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    packages = json.loads((VENDOR / "VENDORED.json").read_text())
    different = []
    for package in packages:
        for name, content in fetched(package):
            if (VENDOR / name).read_bytes() != content:
                different.append(name)
            if write:
                (VENDOR / name).write_bytes(content)
                package["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    if write:
        (VENDOR / "VENDORED.json").write_text(json.dumps(packages, indent=2) + "\n")
    print(f"different: {', '.join(different) or 'none'}")
    return 1 if different and not write else 0


if __name__ == "__main__":
    raise SystemExit(main())
