"""Paths and other names as parts of ref names."""

from urllib.parse import quote

#: Allowed characters in names of refs, in addition to letters and digits.
_SAFE = "/-_.,=@"


def part_of_ref(path: str) -> str:
    """Return a path as a part of a ref name: characters that git rejects become %XX, as in URLs."""
    quoted = quote(path, safe=_SAFE, errors="surrogateescape")
    for bad in (".lock", "..", "/.", "~"):
        quoted = quoted.replace(bad, bad.replace(".", "%2E").replace("~", "%7E"))
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
    return f"{quoted[:-1]}%2E" if quoted.endswith(".") else quoted
