"""The table of all commands: the module of each command, and the commands of each group."""

from collections.abc import Mapping

from orchestrator.cli.command_line.command_group import Sections

#: Commands by section of ``help``: each command's name, and its module in this package. A name
#: without a module is a group of ``GROUPS``.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Start a job": {
        "run": "jobs.run",
        "submit": "jobs.submit",
        "plan": "plan.plan_command",
        "demo": "demo.command",
    },
    "Find a job": {
        "jobs": "jobs.list_jobs",
        "inbox": "jobs.inbox",
        "open": "jobs.open_page",
        "top": "follow.top.command",
        "usage": "jobs.usage",
        "job": "",
    },
    "Follow a job": {
        "status": "jobs.status",
        "logs": "jobs.logs",
        "wait": "jobs.job_control",
        "report": "jobs.report",
        "compare": "jobs.compare",
    },
    "Control a job": {
        "approve": "jobs.approvals",
        "reject": "jobs.approvals",
        "pause": "jobs.job_control",
        "resume": "jobs.job_control",
        "budget": "jobs.job_control",
        "cancel": "jobs.job_control",
        "retry": "jobs.job_control",
        "message": "jobs.job_control",
        "continue": "jobs.continue_job",
        "attach": "jobs.attach",
    },
    "Use the changes of a job": {
        "diff": "changes.diff",
        "feedback": "changes.feedback",
        "land": "changes.land",
        "undo": "changes.land",
        "apply": "changes.apply",
        "merge": "changes.merge",
        "choose": "changes.choose",
    },
    "Restore and remove": {
        "checkpoints": "changes.checkpoints",
        "rollback": "changes.checkpoints",
        "restore": "changes.restore",
        "discard": "changes.discard",
        "clean": "changes.clean",
    },
    "Set up": {
        "agents": "setup.agents",
        "roles": "setup.roles",
        "gates": "plan.gates_command",
        "serve": "server.serve_command",
        "service": "server.systemd.service_command",
        "doctor": "doctor.command",
        "config": "setup.config",
        "keys": "setup.keys",
        "nodes": "setup.cluster.nodes",
        "node": "setup.cluster.node_join",
        "triggers": "setup.integrations.triggers",
        "webhooks": "setup.integrations.webhooks",
        "notify": "setup.integrations.notify",
        "init": "setup.init",
        "completion": "setup.shell_completion",
        "help": "setup.help",
    },
    "Inside a worker": {
        "worker": "",
        "spawn": "worker.wrapper_commands",
        "lock": "worker.wrapper_commands",
        "unlock": "worker.lock_administration",
        "locks": "worker.lock_administration",
        "mcp": "worker.wrapper_commands",
    },
}
COMMANDS = {name: module for section in SECTIONS.values() for name, module in section.items()}
EVERY_COMMAND: Sections = {title: tuple(names) for title, names in SECTIONS.items()}

#: Commands that ``--help`` lists. The other commands are in groups, and in the list of ``help``.
FIRST: Sections = {
    "Run": ("run", "submit", "plan"),
    "Follow and merge": ("jobs", "job", "diff", "land"),
    "Set up": ("agents", "serve", "doctor", "config", "help"),
}

#: Groups of commands: the name of each group, its help text, and its sections.
GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "job": (
        "Follow, control, merge, and remove one job. JOB is the id of a job, or `last` for the "
        "newest job. WORKER is the id of a worker, or of its task.",
        (
            "Follow a job",
            "Control a job",
            "Use the changes of a job",
            "Restore and remove",
        ),
    ),
    "worker": ("Start child jobs and hold locks, inside a worker.", ("Inside a worker",)),
}
