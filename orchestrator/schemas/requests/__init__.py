"""Requests of callers.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from typing import TYPE_CHECKING

from orchestrator.schemas import import_at_first_use

if TYPE_CHECKING:
    from orchestrator.schemas.requests import gates as gates
    from orchestrator.schemas.requests import job as job
    from orchestrator.schemas.requests import job_control as job_control
    from orchestrator.schemas.requests import mcp_message as mcp_message
    from orchestrator.schemas.requests import mcp_tool_arguments as mcp_tool_arguments
    from orchestrator.schemas.requests import messages_and_feedback as messages_and_feedback
    from orchestrator.schemas.requests import plan_text as plan_text
    from orchestrator.schemas.requests import plan_validation as plan_validation
    from orchestrator.schemas.requests import query_parameters as query_parameters
    from orchestrator.schemas.requests import worker_control as worker_control

__getattr__ = import_at_first_use(__name__)
