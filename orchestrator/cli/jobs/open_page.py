"""``orchestrator open``: opens the dashboard in the browser, and logs the browser in."""

import json
import webbrowser

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, optional_job_argument


@click.command("open")
@optional_job_argument
@click.option("--print", "only_print", is_flag=True, help="Print the address; open no browser.")
@json_option
@pass_cli_context
def open_command(context: CliContext, job_id: str | None, only_print: bool) -> None:
    """Open the dashboard, or its page about JOB, in your browser.

    The end of the address, after the character #, is a ticket that logs in one browser within 60
    seconds. Browsers do not send this part of an address, so no proxy sees the ticket there.
    """
    with context.client() as client:
        if job_id is not None:
            job_id = client.job(job_id)["job_id"]
        ticket = client.ticket()
        path = f"/jobs/{job_id}" if job_id else "/"
        address = f"{client.api_url}{path}#ticket={ticket['ticket']}"
    is_open = not only_print and webbrowser.open(address)
    if context.as_json:
        click.echo(json.dumps({"url": address, "expires_at": ticket["expires_at"]}))
    elif not is_open:
        click.echo(address)
    if not (is_open or only_print):
        click.echo("no browser was found; open this address within 60 seconds", err=True)
