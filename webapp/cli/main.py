"""The command `orcid-connect`.

Exit codes: 0 success, 1 failure, 2 usage or configuration error.
"""

from __future__ import annotations

from pathlib import Path

import click

from webapp.cli.check import check
from webapp.cli.deliver import deliver
from webapp.cli.handout import handout
from webapp.cli.history import history
from webapp.cli.idp_role import idp_role
from webapp.cli.imports import import_links
from webapp.cli.init import init
from webapp.cli.link import link
from webapp.cli.migrate import migrate
from webapp.cli.options import accept_dash_values
from webapp.cli.orcid_tokens import orcid_tokens
from webapp.cli.organisation import organisation
from webapp.cli.replica import replica
from webapp.cli.serve import authority, connector, serve
from webapp.cli.store import store
from webapp.cli.transfer import transfer
from webapp.config.loader import DEFAULT_PATH, PATH_VARIABLE
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
    """Link ORCID iDs to accounts at home organisations.

    ORGANISATION is the id of an organisation (the name of its file without .toml) or one of its entityIDs.
    ACCOUNT is the value of the organisation's key attribute, for example maija@example.org. It may begin with a dash;
    if it may also be the name of an option, write all options first, then --, then ORGANISATION and ACCOUNT.
    """
    configure_logging("text", once=True)
    context.obj = path


for _command in (
    init,
    serve,
    connector,
    authority,
    deliver,
    migrate,
    check,
    link,
    history,
    import_links,
    transfer,
    organisation,
    orcid_tokens,
    handout,
    idp_role,
    replica,
    store,
):
    main.add_command(_command)
accept_dash_values(main)
