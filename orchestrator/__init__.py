"""Runs many AI agents and commands in parallel on one project; merges and reports their results.

- ``agents``: Agents: each turns a task into a command, and the command's results into evidence
- ``api``: The HTTP server, the client library, and the Model Context Protocol
- ``cli``: The command line
- ``composition``: The composition root: the only place that names concrete classes
- ``config``: Settings: declaring, loading, and checking them
- ``core``: Values, states, limits and the scheduler: pure, standard library only
- ``engine``: Use cases, the supervisor (the one loop that owns all state), and merges
- ``gates``: Checks of a project: detecting them, and reading their reports
- ``git``: The project's repository, accessed by the program git
- ``launchers``: Processes of workers: starting, containing, and stopping them
- ``outbox``: Messages to receivers outside: webhooks, callbacks, and notifications
- ``reports``: Reports of finished jobs, as Markdown and JSON
- ``schemas``: Models of requests and answers, and of answers of agents
- ``security``: Keys, masking of secrets, workers' environment, safe access to files
- ``store``: The stored state, in an SQL database
- ``system``: The operating system and the network: processes, IP addresses, HTTP calls
- ``workspace``: Files of jobs on disk: their paths, locks, and status files
"""

from os import listdir as _listdir
from os import path as _path

#: The product's version. The wheel and the API read the version here; plugin.json and the package
#: of n8n repeat it.
__version__ = "0.1.0"
#: Directory of an installed package with the product's other files, such as ``bin``. In the
#: portable folder, these files are next to the package, and this directory does not exist.
PORTABLE = _path.join(_path.dirname(_path.abspath(__file__)), "portable")
#: True if an installer put the package into an environment, without the folder around it.
IS_INSTALLED = _path.isdir(PORTABLE)


def installer_of(packages: str) -> str:
    """Return how the package was installed: "pipx", "pip", or "uvx --from SOURCE".

    ``packages``: the directory ``site-packages`` that contains the package.
    """
    environment = _path.dirname(_path.dirname(_path.dirname(packages)))
    if _path.isfile(_path.join(environment, "pipx_metadata.json")):
        return "pipx"
    if "/archive-v" not in packages:  # the directory of uvx in uv's cache
        return "pip"
    import json
    from shlex import quote
    from urllib.parse import unquote, urlsplit

    source = "recursive-orchestrator"
    for name in _listdir(packages):
        # Installers write this file if the package does not come from a package index.
        origin = _path.join(packages, name, "direct_url.json")
        if name.startswith("recursive_orchestrator-") and _path.isfile(origin):
            with open(origin, encoding="utf-8") as file:
                origin_facts = json.load(file)
            source = str(origin_facts["url"])
            if source.startswith("file:"):
                source = unquote(urlsplit(source).path)
            elif "vcs_info" in origin_facts:
                source = f"git+{source}"
    return f"uvx --from {quote(source)}"


#: How the package was installed; "" in the portable folder.
INSTALLER = installer_of(_path.dirname(_path.dirname(PORTABLE))) if IS_INSTALLED else ""
