"""Assembly of the worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from resolver_connector.delivery.health import worker_health
from resolver_connector.delivery.maintenance import (
    INTERVAL,
    Maintenance,
    RetentionPolicy,
    delete_old_changes,
    execute_due_removals,
)
from resolver_connector.delivery.worker import Job, Worker
from resolver_connector.metrics import RECORD_INTERVAL, record_process
from shibboleth.process_state import ProcessState
from sql.store import Store
from webapp.certificates import log_expiring, used_certificates
from webapp.config.loader import Config
from webapp.i18n.language import languages
from webapp.log import log
from webapp.mail.mailer import MailComposer, Mailer, Server
from webapp.wiring.common import utc_now
from webapp.wiring.dispatcher import make_dispatcher
from webapp.wiring.orcid import make_revocation_queue
from webapp.wiring.status_round import make_status_round

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def make_worker(config: Config, store: Store, clock: Callable[[], datetime] = utc_now) -> Worker:
    """Assemble the worker and its jobs."""
    policies = [
        RetentionPolicy(organisation_id, each.keeps_links, each.retention_days, each.uses_feed)
        for organisation_id, each in config.organisation_settings.items()
    ]
    former_clients = [each.client_id for each in config.former_orcid_clients]
    settings = config.organisation_settings.items()
    affiliation_transfers = {name: each.affiliation_transfer[0] for name, each in settings if each.affiliation_transfer}
    maintenance = Maintenance(store, policies, log, config.misconfigured, former_clients, affiliation_transfers)
    keep_changes = timedelta(days=config.store.keep_changes)
    status_round, revocations = make_status_round(config, store), make_revocation_queue(config, store, clock)
    jobs = (
        Job("mail", _mailer(config, store, clock)),
        Job("record-status", status_round.start_batch, stop=status_round.stop),
        Job("orcid-tokens", revocations.start, stop=revocations.stop),
        Job(
            "removals",
            partial(execute_due_removals, store, config.receivers, log, misconfigured=config.misconfigured),
            INTERVAL,
        ),
        Job("maintenance", maintenance.run, INTERVAL),
        Job("certificates", partial(log_expiring, used_certificates(config)), timedelta(days=1)),
        Job("process-metrics", lambda _now: record_process("worker"), timedelta(seconds=RECORD_INTERVAL)),
        Job(
            "feed-retention",
            partial(delete_old_changes, store, keep_changes, log, misconfigured=config.misconfigured),
            timedelta(days=1),
        ),
    )
    return Worker(make_dispatcher(config, store, clock), jobs, log, clock)


def make_worker_health(store: Store, worker: Worker, process: ProcessState) -> WSGIApplication:
    """Assemble the health pages of the worker."""
    return worker_health(store, lambda: worker.idle_seconds, process)


def _mailer(config: Config, store: Store, clock: Callable[[], datetime]) -> Callable[[datetime], None]:
    mail, service = config.mail, config.service
    if mail.host is None or mail.sender is None:
        return lambda _now: None
    composer = MailComposer(
        store=store,
        organisation_settings=config.organisation_settings,
        languages=languages(),
        name=service.name,
        public_url=service.public_url,
        sender=mail.sender,
        zone=config.branding.zone,
        contact=service.contact,
        names=config.names,
    )
    password = None if mail.password is None else mail.password.reveal()
    port = mail.port or {"starttls": 587, "tls": 465, "none": 25}[mail.security]
    server = Server(mail.host, port, mail.security, mail.user, password)
    return Mailer(store, composer, server.send, clock, config.misconfigured).start_batch_if_due
