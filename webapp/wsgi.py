"""Where everything is put together: the two WSGI applications, for waitress, mod_wsgi or any other server.

Only this file knows both the web application and the connector.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resolver_connector.app import Connector
from resolver_connector.credentials import Basic, Bearer, Credentials
from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.delivery.maintenance import INTERVAL, Maintenance, delete_old_changes
from resolver_connector.delivery.transfer_test import StepResult, make_test_account, run_transfer_test
from resolver_connector.delivery.worker import Job, Worker
from resolver_connector.stale import Replicas
from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.base import Transfer
from shibboleth.organisation import Organisation
from sql.store import Store, open_store
from webapp.config.files import DEFAULT_PATH, PATH_VARIABLE
from webapp.config.loader import Config, load
from webapp.config.organisation import Keep
from webapp.config.tables import Kinds
from webapp.i18n.language import languages
from webapp.log import configure_logging, log, with_request_id
from webapp.mail.mailer import Mailer, Server, Writer
from webapp.wiring import web

AUTHORITY_PATH = "/aa"
"""Where the attribute authority is, below the public URL."""


class NoAuthority(LookupError):
    """There is no attribute authority; its text says what is missing."""


if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def web_application(config_path: Path | str) -> WSGIApplication:
    """Make the web application from its configuration file, for a WSGI server to import.

    Raises what `config.load` raises, and SchemaBehind: nothing starts that cannot work.
    """
    config, store = _opened(config_path)
    return make_web(config, store)


def connector_application(config_path: Path | str) -> WSGIApplication:
    """Make the connector from its configuration file; as `web_application`."""
    config, store = _opened(config_path)
    store.disconnect()
    return make_connector(config, store)


def connector() -> WSGIApplication:
    """Make the connector from the file that ORCID_CONNECT_CONFIG names, for a server that asks for a factory."""
    return connector_application(os.environ.get(PATH_VARIABLE, DEFAULT_PATH))


def make_web(config: Config, store: Store, clock: Callable[[], datetime] | None = None) -> WSGIApplication:
    """Put the web application together."""
    clock = clock or _now
    if not any(config.transfers.values()):
        return with_request_id(web(config, store, clock))
    deliver_now = make_dispatcher(config, store, clock).deliver_now

    def transfers_of(entity_id: str) -> tuple[str, ...]:
        return tuple(config.transfers[entity_id])

    application = web(config, store, clock, deliver_now=deliver_now, transfers_of=transfers_of)
    return with_request_id(application)


def make_dispatcher(config: Config, store: Store, clock: Callable[[], datetime] | None = None) -> Dispatcher:
    """Make the dispatcher, which attempts deliveries."""
    return Dispatcher(store, config.organisations, config.transfers, log, clock or _now)


def make_worker(config: Config, store: Store, clock: Callable[[], datetime] | None = None) -> Worker:
    """Make the worker, with its jobs."""
    clock = clock or _now
    keep_nothing = [entity_id for entity_id, keep in config.keep.items() if keep is Keep.NOTHING]
    maintenance = Maintenance(store, keep_nothing, log, retention=config.retention, feed_readers=config.asking)
    keep_changes = timedelta(days=config.store.keep_changes)
    jobs = (
        Job("mail", _mailer(config, store)),
        Job("maintenance", maintenance.run, INTERVAL),
        Job("feed-retention", partial(delete_old_changes, store, keep_changes, log), timedelta(days=1)),
    )
    return Worker(make_dispatcher(config, store, clock), jobs, log, clock)


def _mailer(config: Config, store: Store) -> Callable[[datetime], None]:
    """Give what sends the mail that people asked for; it does nothing where the operator has configured none."""
    said = config.mail
    if said.host is None or said.sender is None:
        return lambda _now: None
    service = config.service
    writer = Writer(
        store=store,
        organisations=config.organisations,
        languages=languages(),
        name=service.name,
        public_url=service.public_url,
        sender=said.sender,
        zone=config.look.zone,
        labels=config.labels,
    )
    password = None if said.password is None else said.password.reveal()
    port = said.port or {"starttls": 587, "tls": 465, "none": 25}[said.security]
    return Mailer(store, writer, Server(said.host, port, said.security, said.user, password).send).turn


def transfer_kinds() -> Kinds:
    """Give the kinds of transfers by name."""
    return TRANSFERS


def try_transfer(
    transfer: Transfer, organisation: Organisation, account: str | None, clock: Callable[[], datetime]
) -> tuple[str, Iterator[StepResult]]:
    """Return the account of a transfer test, fictitious if none is given, and its steps as they are done."""
    account = account or make_test_account(organisation)
    return account, run_transfer_test(transfer, organisation, account, clock)


def make_connector(
    config: Config, store: Store, clock: Callable[[], datetime] | None = None, *, replicas: Replicas | None = None
) -> WSGIApplication:
    """Put the connector together."""
    credentials, registry, clock = Credentials(_credentials(config)), config.service.registry, clock or _now
    application = Connector(
        store, credentials, registry, log, clock, lambda name: tuple(config.transfers[name]), replicas=replicas
    )
    return with_request_id(application)


def make_replicas(config: Config, store: Store, directory: Path, longest: float) -> Replicas:
    """Put together from what the connector answers while the database is away."""
    kept = [one for one in config.organisations if config.keep[one.entity_id] is Keep.LINKS]
    registry = config.service.registry
    return Replicas(store, kept, registry, directory=directory, longest=longest, report=log, clock=_now)


def make_authority(config: Config, store: Store, clock: Callable[[], datetime] | None = None) -> WSGIApplication:
    """Put the attribute authority together. Raises NoAuthority, and Unusable where a file of it cannot be used."""
    try:
        from resolver_connector.authority.app import AttributeAuthority  # noqa: PLC0415 - SAML is large, and few need it
        from resolver_connector.authority.saml import Identity, Saml  # noqa: PLC0415
    except ImportError:
        raise NoAuthority("it needs SAML; run: pip install 'orcid-connect[authority]'") from None
    mine, clock = config.authority, clock or _now
    if mine.entity_id is None:
        raise NoAuthority("the configuration has none; docs/attribute-authority.md tells how to make one")
    url = config.service.public_url + AUTHORITY_PATH
    signed_by = Path(mine.metadata_certificate) if mine.metadata_certificate else None
    saml = Saml(Identity(mine.entity_id, url, *mine.paths(), signed_by), clock())
    authority = AttributeAuthority(
        store, saml, config.organisations, config.askers, config.service.registry, log, clock
    )
    return with_request_id(authority)


def _opened(config_path: Path | str) -> tuple[Config, Store]:
    config = load(config_path, os.environ, transfer_kinds)
    configure_logging(config.service.log)
    store = open_store(config.store.reveal(), patience=config.store.busy_timeout)
    store.must_be_ready()
    return config, store


def _credentials(config: Config) -> Iterator[tuple[Bearer | Basic, Organisation]]:
    for organisation in config.organisations:
        given = config.credentials[organisation.entity_id]
        for token in given.tokens:
            yield Bearer(token.reveal()), organisation
        if given.user is not None and given.password is not None:
            yield Basic(given.user, given.password.reveal()), organisation


def _now() -> datetime:
    return datetime.now(UTC)
