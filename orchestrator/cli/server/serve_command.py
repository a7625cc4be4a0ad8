"""``orchestrator serve``: runs the home's server until it is stopped."""

import gc
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import Count, project_option
from orchestrator.system.ip_addresses import is_loopback

#: Modules that import many others, the lowest layer first. The server imports them in this order,
#: so that imports are not deeply nested. Deeply nested imports are slow: the call stack of Python
#: 3.11 consists of blocks of 16 KB. At the end of a block, each call allocates and frees a block.
FIRST_IMPORTS = (
    *("pydantic", "sqlalchemy.dialects.sqlite", "flask", "waitress"),
    *("orchestrator.core.scheduler.scheduler", "orchestrator.engine.service.service"),
    *("orchestrator.store", "orchestrator.composition"),
)


@click.command("serve")
@click.option("--host", metavar="NAME", help="Address to listen on (default: api.host).")
@click.option(
    "--port",
    type=Count(0, 65535),
    metavar="N",
    help="Port to listen on; 0: any free port (default: api.port).",
)
@click.option(
    "--any-port",
    is_flag=True,
    hidden=True,
    help="Listen on any free port if the port is in use.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Wait while another server uses the workspace; start when that server ends.",
)
@click.option(
    "--check-plan",
    type=click.Path(path_type=Path),
    hidden=True,
    help="Start only if this plan file is valid.",
)
@project_option
@pass_cli_context
def serve_command(
    context: CliContext,
    host: str | None,
    port: int | None,
    any_port: bool,
    standby: bool,
    check_plan: Path | None,
) -> int:
    """Serve the REST API until SIGTERM or Ctrl-C."""
    # Collect no garbage during imports. Modules stay loaded, so the collector would find nothing,
    # but take a tenth of the start's time.
    gc.disable()
    for name in FIRST_IMPORTS:
        import_module(name)
    from orchestrator.cli.server.home_setup import prepare_home
    from orchestrator.cli.server.server_process import serve
    from orchestrator.launchers.local.spawner_client import SpawnerProcess
    from orchestrator.launchers.spawner import early_fork

    if check_plan:
        from orchestrator.cli.plan.plan_file import read_plan

        read_plan(check_plan, None)
    options = {"api.host": host, "api.port": None if port is None else str(port)}
    flags = {name: value for name, value in options.items() if value is not None}
    prepare_home(context.folder, context.environ, partial(click.echo, err=True))
    return serve(
        context.folder,
        environ=context.environ,
        flags=flags,
        any_port=any_port,
        standby=standby,
        spawner=SpawnerProcess.forked(*forked) if (forked := early_fork.take()) else None,
        on_ready=_print_address,
    )


def _print_address(url: str, project: Path, by_proxy: bool = False) -> None:
    address = urlsplit(url)
    reach = ""
    if by_proxy:
        reach = "; only the proxies of api.trusted_proxies may call this address"
    elif not is_loopback(address.hostname or ""):
        safety = "" if address.scheme == "https" else ", in plain HTTP"
        reach = f"; other machines can reach this address{safety}"
    click.echo(f"serving at {url} for the project {project} (stop: Ctrl-C){reach}", err=True)
