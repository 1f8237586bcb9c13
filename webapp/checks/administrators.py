"""Checks whether accounts of operators and administrators could be reissued."""

from __future__ import annotations

from collections.abc import Iterator

from shibboleth.attributes import fold
from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.validators import ISSUED, account_and_issued


def check_admin_accounts(config: Config, store: Store) -> Iterator[CheckResult]:
    """Suggest a date of issue for each configured account without one.

    The date is taken from a link of the account, if it has one.
    """
    for place, organisation_id, people in _admin_accounts(config):
        for account, issued_at in map(account_and_issued, people):
            link = None if issued_at else store.links.get(organisation_id, fold(account))
            if link is not None and link.account_issued_at:
                text = f"{place} names {account} without its date of issue, so a later holder of it has the same rights"
                fix = f'write "{account}{ISSUED}{link.account_issued_at}", if that is the date on their page /me/data'
                details = {"organisation": organisation_id, "account": account, "issued": link.account_issued_at}
                yield CheckResult(Level.INFO, "operator", text, fix, details)


def _admin_accounts(config: Config) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for one in config.operators:
        yield "[[operator]]", one.organisation, one.people
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        yield f"{organisation.id}, [administrators]", organisation.id, settings.administrators.people
