"""The command line: `orcid-connect`. Exit codes: 0 all is well, 1 something is not, 2 usage or configuration."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli_check import check
from webapp.cli_common import take_values_as_they_are
from webapp.cli_connector import connector
from webapp.cli_deliver import deliver
from webapp.cli_erase import erase
from webapp.cli_handout import handout
from webapp.cli_history import history
from webapp.cli_idp_role import idp_role
from webapp.cli_import import import_
from webapp.cli_link import link
from webapp.cli_link_list import list_links
from webapp.cli_migrate import migrate
from webapp.cli_replica import replica
from webapp.cli_serve import authority, serve
from webapp.cli_transfer import transfer
from webapp.config_files import DEFAULT_PATH, PATH_VARIABLE
from webapp.log import set_up


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
    set_up("text", once=True)
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
take_values_as_they_are(main)
