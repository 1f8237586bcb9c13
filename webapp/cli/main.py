"""The command line: `orcid-connect`. Exit codes: 0 all is well, 1 something is not, 2 usage or configuration."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.check import check
from webapp.cli.common import accept_dash_values
from webapp.cli.connector import connector
from webapp.cli.deliver import deliver
from webapp.cli.handout.main import handout
from webapp.cli.history import history
from webapp.cli.idp_role import idp_role
from webapp.cli.import_links import import_
from webapp.cli.link.erase import erase
from webapp.cli.link.list_links import list_links
from webapp.cli.link.main import link
from webapp.cli.migrate import migrate
from webapp.cli.replica import replica
from webapp.cli.serve import authority, serve
from webapp.cli.transfer import transfer
from webapp.config.files import DEFAULT_PATH, PATH_VARIABLE
from webapp.log import configure_logging


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    envvar=PATH_VARIABLE,
    default=DEFAULT_PATH,
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The configuration file.",
)
@click.version_option(package_name="orcid-connect", message="orcid-connect %(version)s")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """Tie ORCID iDs to accounts at home organisations.

    ORGANISATION is the id of an organisation, which is the name of its file without .toml, or its entityID.
    ACCOUNT is what its Identity Provider calls a person, for example maija@example.org. It may begin with a dash;
    write -- before ORGANISATION where it may be the name of an option, and all options before that.
    """
    configure_logging("text", once=True)
    context.obj = path


COMMANDS = (
    serve,
    connector,
    authority,
    deliver,
    migrate,
    check,
    link,
    history,
    import_,
    transfer,
    handout,
    idp_role,
    replica,
)

for each in COMMANDS:
    main.add_command(each)
for each in (list_links, erase):
    link.add_command(each)
accept_dash_values(main)
