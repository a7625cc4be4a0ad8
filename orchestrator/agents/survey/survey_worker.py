"""One survey worker: reads the task, surveys, and writes ``output.md`` and ``result.json``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.agents.survey.analysis.project_map import map_files
from orchestrator.agents.survey.analysis.result import (
    RESULT_FILE,
    PartRow,
    SurveyResult,
    write_result,
)
from orchestrator.agents.survey.assignment.request_analysis import (
    NOTHING_BUILT,
    may_ask_to_build,
    requested_paths,
)
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment, SurveyTask
from orchestrator.agents.survey.child_jobs import run_child_jobs
from orchestrator.agents.survey.division import Division, divide
from orchestrator.agents.survey.project_files.listing import Listing, list_files, shown, within
from orchestrator.agents.survey.report.markdown import code
from orchestrator.agents.survey.report.request_match import find_matches
from orchestrator.agents.survey.report.survey_headline import only_counted, summary
from orchestrator.agents.survey.report.survey_report import OUTPUT_FILE, write_report
from orchestrator.core.text.formatting import listed, plural

#: Maximum number of paths in a progress line.
_MOST_NAMED = 3


def survey(task: SurveyTask, environment: SurveyEnvironment) -> list[PartRow]:
    """Survey the files of ``task``, and write the result.

    Return the parts that a child job's worker did not survey successfully. Raise SurveyError if a
    path of the task does not exist, is a link, or leads through a link.
    """
    for name in (OUTPUT_FILE, RESULT_FILE):
        # Remove the results of an earlier attempt, so that they do not count as this attempt's
        # results.
        (environment.directory / name).unlink(missing_ok=True)
    listing = list_files(environment, task.files)
    task, listing = _limited_to_paths(task, listing)
    is_to_build = task.promises_files or may_ask_to_build(task.request or task.prompt)
    say(f"surveying {_task_scope(task)}: {plural(len(listing.files), 'file')}")
    if is_to_build and not task.files:
        return _survey_for_building(task, environment, listing)
    result, missing = _survey_with_child_jobs(task, environment, listing)
    write_result(result, environment.directory)
    write_report(result, environment.directory, _title(task, environment.root))
    _say_outcome(result)
    return missing


def say(line: str) -> None:
    print(printable(line), flush=True)


def printable(text: str) -> str:
    letters = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(letters)


def _task_text(task: SurveyTask) -> str:
    return f"{task.title} {task.prompt}".strip() or task.request


def _limited_to_paths(task: SurveyTask, listing: Listing) -> tuple[SurveyTask, Listing]:
    # A task whose text consists only of paths is limited to these paths.
    paths = () if task.files else requested_paths(_task_text(task), (f.path for f in listing.files))
    if not paths:
        return task, listing
    return replace(task, files=paths), listing.select(within(paths))


def _survey_for_building(
    task: SurveyTask, environment: SurveyEnvironment, listing: Listing
) -> list[PartRow]:
    say(NOTHING_BUILT)
    words = _task_text(task)
    result = map_files(environment.root, listing, [], say, with_history=False)
    result.mode = "build request"
    result.matches = find_matches(result, words)
    write_result(result, environment.directory)
    title = _title(task, environment.root)
    write_report(result, environment.directory, title, task.title or task.prompt or task.request)
    say(f"{plural(len(result.matches), 'matching file')} for this task")
    _say_outcome(result)
    return []


def _say_outcome(result: SurveyResult) -> None:
    if unparsed := only_counted(result):
        say(unparsed)
    say(summary(result))


def _survey_with_child_jobs(
    task: SurveyTask, environment: SurveyEnvironment, listing: Listing
) -> tuple[SurveyResult, list[PartRow]]:
    divisions = _divisions(environment, listing, task.files)
    is_for_child_jobs = within([path for division in divisions for path in _paths(division)])
    own_listing = listing.select(lambda path: not is_for_child_jobs(path))
    result = map_files(environment.root, own_listing, list(task.files), say)
    for division in divisions:
        parts = plural(len(division.parts), "part")
        say(f"{_directory_text(division.directory)} has {parts}: starting a child job")
    jobs = run_child_jobs(divisions, environment.directory)
    for division, reason in jobs.refused:
        say(f"{_directory_text(division.directory)} is surveyed without a child job: {reason}")
        paths = _paths(division)
        result.absorb(map_files(environment.root, listing.select(within(paths)), paths, say))
    for child in jobs.results:
        result.absorb(child)
    result.parts = jobs.parts
    result.sort()
    return result, jobs.missing


def _divisions(
    environment: SurveyEnvironment, listing: Listing, paths: Sequence[str]
) -> list[Division]:
    divisions = divide(listing.files, paths)
    if not divisions or (environment.has_server and environment.depth < environment.max_depth):
        return divisions
    reason = "ORCHESTRATOR_API_URL or ORCHESTRATOR_API_KEY is not set"
    if environment.has_server:
        reason = f"the maximum depth of child jobs is reached ({environment.max_depth})"
    say(f"surveying all parts without child jobs: {reason}")
    return []


def _paths(division: Division) -> list[str]:
    return [path for part in division.parts for path in part.files]


def _directory_text(directory: str) -> str:
    return "the project" if directory == "." else shown(directory)


def _task_scope(task: SurveyTask) -> str:
    return listed([shown(each) for each in task.files], _MOST_NAMED) or "the project"


def _title(task: SurveyTask, root: Path) -> str:
    if not task.files:
        return code(shown(root.name) or "/")
    more = f" and {len(task.files) - 1} more" if len(task.files) > 1 else ""
    return code(shown(task.files[0])) + more
