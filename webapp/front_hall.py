"""The web application's own parts, put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING

from shibboleth.orcid_id import Registry
from sql.store import Store
from webapp.app import Front, House, always, make_app, security_headers
from webapp.config import Config
from webapp.config_organisation import Keep
from webapp.door import Door
from webapp.hall import DeliverNow, Hall, deliver_nothing
from webapp.language import languages
from webapp.linking import Linking, TransfersOf, no_transfers
from webapp.look import Look
from webapp.notices import Notices, Statement
from webapp.operator.access import Named, Staff
from webapp.orcid_client import OrcidClient
from webapp.shares import Shares, within_shares
from webapp.static import Static
from webapp.templating import templates

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def web(
    config: Config,
    store: Store,
    clock: Callable[[], datetime],
    *,
    deliver_now: DeliverNow = deliver_nothing,
    transfers_of: TransfersOf = no_transfers,
) -> WSGIApplication:
    """Make the web application; how changes are sent to organisations is for whoever wires to say."""
    secure = config.service.public_url.startswith("https:")
    linking = Linking(store, orcid_client(config), transfers_of)
    look = config.look.look(config.path.parent)
    house, known = _house(config, look), languages()
    entity_ids = [one.entity_id for one in config.organisations]
    deliver_now = within_shares(deliver_now, entity_ids, Shares.of(config.listen.threads))
    hall = _hall(config, store, linking, look, deliver_now)
    app: WSGIApplication = make_app(
        Front(
            house=house,
            door=Door(config.front, config.organisations, config.service.encoding, secure=secure),
            hall=hall,
            languages=known,
            templates={code: templates(language, always(house, hall, known)) for code, language in known.items()},
            headers=security_headers(config.orcid.base_url, secure=secure),
            clock=clock,
        )
    )
    return app


def _hall(config: Config, store: Store, linking: Linking, look: Look, deliver_now: DeliverNow) -> Hall:
    return Hall(
        linking,
        store,
        config.organisations,
        Static.read(look),
        config.orcid.base_url,
        deliver_now,
        frozenset(entity_id for entity_id, keep in config.keep.items() if keep is Keep.NOTHING),
        asking=config.asking,
        labels=config.labels,
        mails=config.mail.host is not None,
        notices=notices_of(config),
        retention=config.retention,
        keep_changes=config.store.keep_changes,
        staff=staff_of(config),
    )


def staff_of(config: Config) -> Staff:
    """Give the people and machines that the operator's pages are for."""
    token = config.metrics.token
    return Staff(
        operators=tuple(Named.of(one.entity_id, one.people, one.entitlements) for one in config.operators),
        administrators={
            entity_id: Named.of(entity_id, one.people, one.entitlements)
            for entity_id, one in config.administrators.items()
        },
        metrics_token=token.reveal() if token else "",
    )


def notices_of(config: Config) -> Notices:
    """Give the operator's texts."""
    said = config.accessibility
    assessed = date.fromisoformat(said.assessed) if said.assessed else None
    statement = Statement(said.status.value if said.status else "", assessed, said.assessor.value)
    return Notices(config.notices, config.own_notices, statement, config.service.privacy_url or "")


def _house(config: Config, look: Look) -> House:
    service = config.service
    return House(
        public_url=service.public_url,
        name=service.name,
        contact=service.contact,
        language=service.language,
        sandbox=service.registry is Registry.SANDBOX,
        zone=config.look.zone,
        logo=look.logo.name if look.logo else "",
    )


def orcid_client(config: Config) -> OrcidClient:
    """Make the client of ORCID."""
    orcid = config.orcid
    return OrcidClient(
        base_url=orcid.base_url,
        registry=config.service.registry,
        client_id=orcid.client_id,
        client_secret=orcid.client_secret.reveal(),
        redirect_uri=config.redirect_uri,
        scope=orcid.scope,
        pkce=orcid.pkce,
        connect_timeout=orcid.connect_timeout,
        read_timeout=orcid.read_timeout,
        proxy=orcid.proxy,
        max_waiting=Shares.of(config.listen.threads).orcid,
    )
