"""``result.json``: a result written as JSON, and read back.

The file holds one object. ``schema`` is 1; the number changes if a field is removed or gets another
meaning. New fields may be added. Paths are relative to the project root. Counts of results without
common files can be added: merging the results of all parts gives the whole result.

==============  ==================================================================================
field           one row (or object)
==============  ==================================================================================
schema          1
mode            ``survey``, or ``build request`` (then ``built`` is false)
surveyed        the requested paths; empty: the whole project
rule            how lines are counted, as text
totals          files, bytes, code, comment, blank, bare, binary, too_large, unreadable, links,
                special; ``bare`` is part of ``blank``
languages       language, files, code, comment, blank, bare
directories     path, files, code, comment, blank, bare of the files directly in it
modules         path, language, name (dotted, Python only), code, comment, blank, bare, is_test
symbols         path, name, kind, line: public names, outside of tests
imports         path, module, names
entry_points    kind, name, path, line (0: the whole file), target
tests           path, language, cases
todos           path, line, tag, text
config_files    path, kind
dependencies    path, ecosystem, name, version, group
churn           ``files``: path, changes, added, deleted; ``owners``: name, changes, lines; ``note``
parts           title, files, worker_id, status, reason: what child jobs surveyed
notes           sentences on what was not surveyed, and why
unparsed        languages without an installed grammar: symbols, imports, test cases unknown
matches         build requests only: path, code, score, reasons
==============  ==================================================================================
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.agents.survey.result.result import (
    ROWS,
    ChurnRow,
    Counts,
    Owner,
    SurveyResult,
    SurveyTotals,
)
from orchestrator.agents.survey.source.line_count import RULE
from orchestrator.agents.survey.survey_error import SurveyError
from orchestrator.security.files.untrusted_files import replace_file

SCHEMA = 1
RESULT_FILE = "result.json"


def to_json(result: SurveyResult) -> dict[str, Any]:
    """Return ``result`` as the object that ``result.json`` contains."""
    rows = {name: [vars(row) for row in getattr(result, name)] for name in ROWS}
    content = {
        "schema": SCHEMA,
        "mode": result.mode,
        "surveyed": result.surveyed,
        "rule": RULE,
        "totals": vars(result.totals),
        "languages": _keyed(result.languages, "language"),
        "directories": _keyed(result.directories, "path"),
        **rows,
        "churn": {
            "note": result.churn_note,
            "files": rows["churn"],
            "owners": _keyed(result.owners, "name"),
        },
        "notes": result.notes,
        "unparsed": sorted(result.unparsed),
    }
    return content if result.mode == "survey" else content | {"built": False}


def _keyed(counts: Mapping[str, object], key: str) -> list[dict[str, Any]]:
    return [{key: name, **vars(counts[name])} for name in sorted(counts)]


def write_result(result: SurveyResult, directory: Path) -> None:
    """Write ``result.json`` atomically."""
    text = json.dumps(to_json(result), separators=(",", ":"))
    replace_file(directory / RESULT_FILE, text.encode())


def read_result(directory: Path) -> SurveyResult:
    """Read the ``result.json`` of a worker.

    Raise SurveyError if the file is missing or has another format.
    """
    path = directory / RESULT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise SurveyError(f"{path} has schema {content['schema']!r}, not {SCHEMA}")
        return _from_json(content)
    except OSError as error:
        raise SurveyError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurveyError(f"{path} is not the result of a survey") from error


def _from_json(content: Mapping[str, Any]) -> SurveyResult:
    churn = content["churn"]
    others = [name for name in ROWS if name != "churn"]
    rows: dict[str, Any] = {name: _rows(content[name], ROWS[name]) for name in others}
    return SurveyResult(
        surveyed=list(content["surveyed"]),
        mode=str(content["mode"]),
        totals=SurveyTotals(**_known(content["totals"], SurveyTotals)),
        languages={row["language"]: _counts(row) for row in content["languages"]},
        directories={row["path"]: _counts(row) for row in content["directories"]},
        churn=_rows(churn["files"], ChurnRow),
        owners={row["name"]: Owner(**_known(row, Owner)) for row in churn["owners"]},
        churn_note=str(churn["note"]),
        notes=[str(note) for note in content["notes"]],
        unparsed={str(name) for name in content.get("unparsed", ())},
        **rows,
    )


_Row = TypeVar("_Row")


def _rows(items: Iterable[Mapping[str, Any]], kind: type[_Row]) -> list[_Row]:
    return [kind(**_known(item, kind)) for item in items]


def _counts(row: Mapping[str, Any]) -> Counts:
    return Counts(**_known(row, Counts))


def _known(item: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return the fields that ``kind`` has.

    Other fields are dropped, because a later version of the product may have written the file.
    """
    return {entry.name: item[entry.name] for entry in fields(kind) if entry.name in item}
