"""The workspace on disk: the paths of a job's files, and status files and logs for people."""

from orchestrator.workspace.attach_lock import attach, is_attached
from orchestrator.workspace.inode_allocation import spread_subdirectories
from orchestrator.workspace.job_directories import JobDirectories
from orchestrator.workspace.job_directory_removal import WorkspaceJobFiles
from orchestrator.workspace.job_log import JobLog
from orchestrator.workspace.landing_journal import FileLandingJournal
from orchestrator.workspace.move_detection import WorkspaceLocation
from orchestrator.workspace.status_file import StatusFiles
from orchestrator.workspace.workspace_lock import LOCK_NAME, WorkspaceLock

__all__ = [
    "LOCK_NAME",
    "FileLandingJournal",
    "JobDirectories",
    "JobLog",
    "StatusFiles",
    "WorkspaceJobFiles",
    "WorkspaceLocation",
    "WorkspaceLock",
    "attach",
    "is_attached",
    "spread_subdirectories",
]
