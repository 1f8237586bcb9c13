"""Assembly of the web application: linking pages and operator's pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver_connector.metrics import OTHER_ROUTE, measured
from shibboleth.metadata import read_display_names
from shibboleth.orcid_id import Registry
from shibboleth.process_state import ProcessState
from sql.store import Store
from webapp.app import BODY_LABELS, FooterBody, ServiceInfo, WebApp, make_app, security_headers, template_globals
from webapp.auth.authenticator import Authenticator
from webapp.auth.named_people import NamedPeople
from webapp.certificates import used_certificates
from webapp.concurrency import ConcurrencyLimits, with_limits
from webapp.config.loader import Config
from webapp.i18n.language import languages
from webapp.linking.admission import Admission
from webapp.linking.orcid_client import OrcidClient
from webapp.linking.service import LinkingService
from webapp.log import with_request_id
from webapp.operator.access import AdminAccess
from webapp.pages.context import AppContext, no_delivery, no_names
from webapp.pages.operator_texts import AccessibilityStatement, OperatorTexts
from webapp.rendering.branding import Branding
from webapp.rendering.static import StaticFiles
from webapp.rendering.templating import templates
from webapp.wiring.common import load_config_and_store, utc_now
from webapp.wiring.dispatcher import make_dispatcher
from webapp.wiring.orcid import make_orcid_clients, make_token_service
from webapp.wiring.status_round import make_status_round

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def web_application(config_path: Path | str) -> WSGIApplication:
    """Create the web application from its configuration file, for a WSGI server.

    Raises:
        Misconfigured: If the service's file is invalid, or no organisation is valid.
        SchemaBehind: If a migration is missing.
        StoreUnavailable: If the database cannot be reached.
    """
    return make_web(*load_config_and_store(config_path))


def make_web(
    config: Config, store: Store, clock: Callable[[], datetime] = utc_now, *, process: ProcessState | None = None
) -> WSGIApplication:
    """Assemble the web application."""
    service, secure = config.service, config.service.public_url.startswith("https:")
    branding, known = config.branding.branding(config.path.parent, config.bodies), languages()
    service_info = ServiceInfo(
        public_url=service.public_url,
        name=service.name,
        contact=service.contact,
        language=service.language,
        sandbox=service.registry is Registry.SANDBOX,
        zone=config.branding.zone,
        logo=branding.logo.name if branding.logo else "",
        names=config.names,
        bodies=_footer_bodies(config, branding),
    )
    limits = ConcurrencyLimits.of(config.listen.threads)
    client = orcid_client(config)
    deliver_now = make_dispatcher(config, store, clock).deliver_now if any(config.transfers.values()) else no_delivery
    context = AppContext(
        linking=LinkingService(
            store,
            client,
            make_token_service(config, store),
            config.transfers,
            organisation_clients(config, client),
            admission_of(config),
        ),
        store=store,
        organisations=config.organisations,
        organisation_settings=config.organisation_settings,
        static=StaticFiles.read(branding),
        orcid_url=config.orcid.base_url,
        public_url=service.public_url,
        deliver_now=with_limits(deliver_now, config.organisation_settings, limits),
        check_record=make_status_round(config, store).check,
        display_names=_display_names_of(config),
        mail_enabled=config.mail.host is not None,
        operator_texts=operator_texts_of(config),
        keep_changes=config.store.keep_changes,
        admin_access=admin_access_of(config),
        certificates=used_certificates(config),
        returns=config.returns,
        process=process or ProcessState(config.digest),
    )
    shared = template_globals(service_info, context, known)
    app = WebApp(
        service_info=service_info,
        authenticator=Authenticator(config.front, config.organisations, service.encoding, secure=secure),
        context=context,
        languages=known,
        templates={code: templates(language, shared) for code, language in known.items()},
        headers=security_headers(config.orcid.base_url, secure=secure),
        clock=clock,
    )
    return with_request_id(measured(make_app(app), "web", _route_of))


def _footer_bodies(config: Config, branding: Branding) -> tuple[FooterBody, ...]:
    logos = {each.name.partition("-")[0]: each.name for each in branding.bodies}
    return tuple(
        FooterBody(BODY_LABELS[kind], one.name or "", one.url or "", logos.get(kind, ""))
        for kind, one in config.bodies.items()
    )


def _display_names_of(config: Config) -> Callable[[str], Mapping[str, str]]:
    # Kept: a federation's metadata is large
    path = config.authority.metadata
    return no_names if path is None else lru_cache(maxsize=256)(partial(read_display_names, Path(path)))


def _route_of(environ: Mapping[str, Any]) -> str:
    # What Bottle offers as `request.route`
    route = environ.get("bottle.route")
    return route.rule if route is not None else OTHER_ROUTE


def admin_access_of(config: Config) -> AdminAccess:
    """Return the people and machines that may use the operator's pages."""
    token, statistics_token = config.metrics.token, config.statistics.token
    return AdminAccess(
        operators=tuple(NamedPeople.parse(one.organisation, one.people, one.entitlements) for one in config.operators),
        administrators=tuple(
            NamedPeople.parse(organisation_id, one.administrators.people, one.administrators.entitlements)
            for organisation_id, one in config.organisation_settings.items()
        ),
        metrics_token=token.reveal() if token else "",
        statistics_token=statistics_token.reveal() if statistics_token else "",
    )


def admission_of(config: Config) -> Admission:
    """Return who may link where an organisation is not open to all."""
    settings = config.organisation_settings.items()
    return Admission(
        {name: NamedPeople.parse(name, one.test_accounts) for name, one in settings},
        {name: NamedPeople.parse(name, one.pilot.people, one.pilot.entitlements) for name, one in settings},
    )


def operator_texts_of(config: Config) -> OperatorTexts:
    """Return the privacy and accessibility texts of the configuration."""
    stated = config.accessibility
    assessed = date.fromisoformat(stated.assessed) if stated.assessed else None
    statement = AccessibilityStatement(stated.status.value if stated.status else "", assessed, stated.assessor.value)
    return OperatorTexts(config.texts, statement, config.service.privacy_url or "")


def organisation_clients(config: Config, client: OrcidClient) -> dict[str, OrcidClient]:
    """Return the clients of organisations, by the organisation's id.

    Args:
        client: The service's own, with which they share its limits.
    """
    own = make_orcid_clients(config).organisations
    return {name: client.for_client(each.client_id, each.client_secret) for name, each in own.items()}


def orcid_client(config: Config) -> OrcidClient:
    """Return the service's own client of ORCID's OAuth endpoints."""
    service = make_orcid_clients(config).service
    return OrcidClient(
        base_url=service.base_url,
        registry=service.registry,
        client_id=service.client_id,
        client_secret=service.client_secret,
        redirect_uri=config.redirect_uri,
        scope=config.orcid.scope,
        pkce=config.orcid.pkce,
        connect_timeout=service.connect_timeout,
        read_timeout=service.read_timeout,
        proxy=service.proxy,
        max_waiting=ConcurrencyLimits.of(config.listen.threads).orcid,
    )
