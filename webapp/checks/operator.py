"""What `check` says about the people whom the configuration names: who of them might become somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from shibboleth.attributes import fold
from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.values import ISSUED, account_and_issued


def named_people(config: Config, store: Store) -> Iterator[CheckResult]:
    """Advise the date for each account that is named without one, where its organisation has told it with a link."""
    for place, entity_id, people in _named(config):
        for account, issued_at in map(account_and_issued, people):
            link = None if issued_at else store.links.get(entity_id, fold(account))
            if link is not None and link.account_issued_at:
                text = f"{place} names {account}, and whoever gets this account later"
                issued = link.account_issued_at
                mend = f'write "{account}{ISSUED}{issued}", if that is the date on their page of their own data'
                facts = {"entity_id": entity_id, "account": account, "issued": issued}
                yield CheckResult(Level.NOTE, "operator", text, mend, facts)


def _named(config: Config) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for one in config.operators:
        yield "[[operator]]", one.entity_id, one.people
    for each in config.organisation_settings.values():
        organisation = each.organisation
        yield f"{organisation.id}, [administrators]", organisation.entity_id, each.administrators.people
