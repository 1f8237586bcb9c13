"""The web application's own parts, put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING

from shibboleth.orcid_id import Registry
from sql.store import Store
from webapp.app import ServiceInfo, WebApp, make_app, security_headers, template_globals
from webapp.auth.authenticator import Authenticator
from webapp.concurrency import ConcurrencyLimits, with_limits
from webapp.config.loader import Config
from webapp.config.organisation import Keep
from webapp.i18n.language import languages
from webapp.linking.orcid_client import OrcidClient
from webapp.linking.service import LinkingService, TransfersOf, no_transfers
from webapp.operator.access import AdminAccess, AdminGrant
from webapp.pages.context import AppContext, DeliverNow, no_delivery
from webapp.pages.operator_texts import AccessibilityStatement, OperatorTexts
from webapp.rendering.branding import Branding
from webapp.rendering.static import StaticFiles
from webapp.rendering.templating import templates

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def web(
    config: Config,
    store: Store,
    clock: Callable[[], datetime],
    *,
    deliver_now: DeliverNow = no_delivery,
    transfers_of: TransfersOf = no_transfers,
) -> WSGIApplication:
    """Make the web application; how changes are sent to organisations is for whoever wires to say."""
    secure = config.service.public_url.startswith("https:")
    linking = LinkingService(store, orcid_client(config), transfers_of)
    look = config.look.look(config.path.parent)
    service_info, known = _service_info(config, look), languages()
    entity_ids = [one.entity_id for one in config.organisations]
    deliver_now = with_limits(deliver_now, entity_ids, ConcurrencyLimits.of(config.listen.threads))
    context = _context(config, store, linking, look, deliver_now)
    app: WSGIApplication = make_app(
        WebApp(
            service_info=service_info,
            authenticator=Authenticator(config.front, config.organisations, config.service.encoding, secure=secure),
            context=context,
            languages=known,
            templates={
                code: templates(language, template_globals(service_info, context, known))
                for code, language in known.items()
            },
            headers=security_headers(config.orcid.base_url, secure=secure),
            clock=clock,
        )
    )
    return app


def _context(
    config: Config, store: Store, linking: LinkingService, look: Branding, deliver_now: DeliverNow
) -> AppContext:
    return AppContext(
        linking,
        store,
        config.organisations,
        StaticFiles.read(look),
        config.orcid.base_url,
        deliver_now,
        frozenset(entity_id for entity_id, keep in config.keep.items() if keep is Keep.NOTHING),
        asking=config.asking,
        labels=config.labels,
        mail_enabled=config.mail.host is not None,
        operator_texts=operator_texts_of(config),
        retention=config.retention,
        keep_changes=config.store.keep_changes,
        admin_access=admin_access_of(config),
    )


def admin_access_of(config: Config) -> AdminAccess:
    """Give the people and machines that the operator's pages are for."""
    token = config.metrics.token
    return AdminAccess(
        operators=tuple(AdminGrant.of(one.entity_id, one.people, one.entitlements) for one in config.operators),
        administrators={
            entity_id: AdminGrant.of(entity_id, one.people, one.entitlements)
            for entity_id, one in config.administrators.items()
        },
        metrics_token=token.reveal() if token else "",
    )


def operator_texts_of(config: Config) -> OperatorTexts:
    """Give the operator's texts."""
    said = config.accessibility
    assessed = date.fromisoformat(said.assessed) if said.assessed else None
    statement = AccessibilityStatement(said.status.value if said.status else "", assessed, said.assessor.value)
    return OperatorTexts(config.notices, config.own_notices, statement, config.service.privacy_url or "")


def _service_info(config: Config, look: Branding) -> ServiceInfo:
    service = config.service
    return ServiceInfo(
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
        max_waiting=ConcurrencyLimits.of(config.listen.threads).orcid,
    )
