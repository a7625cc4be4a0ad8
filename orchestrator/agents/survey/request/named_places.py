"""The directories and files of the project that a request names."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from orchestrator.agents.survey.request.request_vocabulary import keywords

_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)*/?")
#: Words next to a path that have no further meaning, such as "the files in".
_AROUND = frozenset(
    (
        *("directory", "directories", "folder", "folders", "file", "files", "code", "source"),
        *("sources", "module", "modules", "part", "parts", "package", "packages", "everything"),
        *("every", "all", "below", "under", "inside", "there", "overview"),
    )
)


def named_places(words: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that the request names; empty if the request also names something else.

    ``files``: the paths of the project. "the docs" is a path only if ``docs`` exists.
    """
    known = {str(above) for path in files for above in (path, *PurePosixPath(path).parents)}
    places: dict[str, None] = {}
    rest: list[str] = []
    for found in _PATH.findall(words):
        path = found.rstrip("./")
        is_place = path in known and bool("/" in found or keywords(path))
        if is_place:
            places[path] = None
        else:
            rest.append(found)
    if _AROUND.issuperset(keywords(" ".join(rest))):
        return tuple(places)
    return ()
