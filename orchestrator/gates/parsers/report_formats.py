"""Reads the report files of gates, in all formats. Large and malformed reports are rejected."""

from dataclasses import replace
from pathlib import Path

from orchestrator.core.gates.findings import Reading, UnreadableReport
from orchestrator.core.gates.gate import GateReport
from orchestrator.gates.parsers import (
    go_cargo,
    jest,
    junit,
    linters,
    runner_output,
    sarif,
    security_reports,
)
from orchestrator.security.files.untrusted_files import open_plain, read_tail

#: Maximum size of a report, in bytes. A larger report is rejected: if only its beginning were read,
#: the tests in the rest would count as missing.
MOST_BYTES = 32 * 1024 * 1024
#: Maximum bytes that are read of the output of a gate without a report.
MOST_PRINTED = 256 * 1024


class GateReports:
    """Reads reports; implements ``core.gates.findings.ReportReader``."""

    def read(self, report: GateReport, file: Path, log: Path, cwd: str) -> Reading:
        match report:
            case GateReport.JUNIT:
                reading = junit.read(_content(file, log), cwd)
                return replace(
                    reading, failed_tests=runner_output.early_end(read_tail(log, MOST_PRINTED))
                )
            case GateReport.SARIF:
                return sarif.read(_content(file, log), cwd)
            case GateReport.RUFF:
                return linters.read_ruff(_content(file, log), cwd)
            case GateReport.MYPY:
                return linters.read_mypy(_content(file, log), cwd)
            case GateReport.GO:
                return go_cargo.read_go(_content(file, log))
            case GateReport.CARGO:
                return go_cargo.read_cargo(_content(file, log))
            case GateReport.JEST:
                return jest.read(_content(file, log), cwd)
            case GateReport.BANDIT:
                return security_reports.read_bandit(_content(file, log), cwd)
            case GateReport.NPM_AUDIT:
                return security_reports.read_npm(_content(file, log))
            case GateReport.PIP_AUDIT:
                return security_reports.read_pip(_content(file, log))
            case GateReport.CARGO_AUDIT:
                return security_reports.read_cargo(_content(file, log))
            case GateReport.GOVULNCHECK:
                return security_reports.read_go(_content(file, log), cwd)
            case GateReport.PRE_COMMIT:
                return linters.read_pre_commit(_content(file, log))
            case GateReport.EXIT:
                return runner_output.read(read_tail(log, MOST_PRINTED), cwd)


def _content(file: Path, log: Path) -> bytes:
    try:
        return _read(file)
    except FileNotFoundError:
        return _read(log)


def _read(path: Path) -> bytes:
    try:
        with open_plain(path) as opened:
            content = opened.read(MOST_BYTES + 1) or b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableReport(f"cannot read the report: {error}") from error
    if len(content) > MOST_BYTES:
        raise UnreadableReport(
            f"the report has more than {MOST_BYTES // 2**20} MiB; split the gate into several gates"
        )
    return content
