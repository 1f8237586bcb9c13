"""The table of routes: method, path, who may use it, and the handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webapp.auth.authenticator import Access
from webapp.operator import pages as operator
from webapp.operator.account_list import accounts, compare_accounts
from webapp.operator.link_list import list_links
from webapp.operator.metrics import metrics
from webapp.operator.statistics_pages import statistics, statistics_api, statistics_file
from webapp.pages.context import AppContext
from webapp.pages.linking import (
    another_account,
    callback,
    claim,
    confirm,
    me,
    move,
    read,
    receipt,
    redirect_to_me,
    remove,
    removed,
    result,
    submit_claim,
    submit_confirmation,
    submit_move,
)
from webapp.pages.mail import ask_mail, mail, mailed
from webapp.pages.my_data import my_data, my_data_file
from webapp.pages.notices import accessibility, privacy, privacy_of
from webapp.pages.orcid.affiliation import affiliation, submit_affiliation
from webapp.pages.orcid.permissions import remove_permissions, start, start_page
from webapp.pages.public import (
    connect,
    healthz,
    help_page,
    landing,
    organisation_address,
    readyz,
    sign_out,
    signed_out,
    static,
)
from webapp.pages.removal import erase, erased, erasure, removal
from webapp.pages.request import Page, PageRequest, RawResponse, Redirect

Handler = Callable[[AppContext, PageRequest], Page | Redirect | RawResponse]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and an address, who may use it, and the handler."""

    method: str
    path: str
    access: Access
    handler: Handler
    uploads: bool = False
    """Whether the form may have files, if an administrator of an organisation sends it."""


ROUTES = (
    Route("GET", "/", Access.ANYONE, landing),
    Route("GET", "/connect", Access.ANYONE, connect),
    Route("GET", "/o/<organisation>", Access.ANYONE, organisation_address),
    Route("GET", "/help", Access.ANYONE, help_page),
    Route("GET", "/sign-out", Access.ANYONE, sign_out),
    Route("GET", "/signed-out", Access.ANYONE, signed_out),
    Route("GET", "/me", Access.PERSON, me),
    Route("POST", "/me/read", Access.PERSON, read),
    Route("GET", "/me/read", Access.PERSON, redirect_to_me),
    Route("POST", "/me/start", Access.PERSON, start),
    Route("GET", "/me/start", Access.PERSON, start_page),
    Route("POST", "/me/permissions/remove", Access.PERSON, remove_permissions),
    Route("GET", "/me/permissions/remove", Access.PERSON, redirect_to_me),
    Route("GET", "/me/callback", Access.PERSON, callback),
    Route("GET", "/me/confirm/<attempt>", Access.PERSON, confirm),
    Route("POST", "/me/confirm/<attempt>", Access.PERSON, submit_confirmation),
    Route("GET", "/me/another-account", Access.PERSON, another_account),
    Route("GET", "/me/result/<attempt>", Access.PERSON, result),
    Route("POST", "/me/remove", Access.PERSON, remove),
    Route("GET", "/me/remove", Access.PERSON, removal),
    Route("GET", "/me/claim/<attempt>", Access.PERSON, claim),
    Route("POST", "/me/claim/<attempt>", Access.PERSON, submit_claim),
    Route("GET", "/me/move", Access.PERSON, move),
    Route("POST", "/me/move", Access.PERSON, submit_move),
    Route("GET", "/me/affiliation", Access.PERSON, affiliation),
    Route("POST", "/me/affiliation", Access.PERSON, submit_affiliation),
    Route("GET", "/me/removed", Access.PERSON, removed),
    Route("GET", "/me/erase", Access.PERSON, erasure),
    Route("POST", "/me/erase", Access.PERSON, erase),
    Route("GET", "/me/erased", Access.PERSON, erased),
    Route("GET", "/me/receipt", Access.PERSON, receipt),
    Route("GET", "/me/mail", Access.PERSON, mail),
    Route("POST", "/me/mail", Access.PERSON, ask_mail),
    Route("GET", "/me/mailed", Access.PERSON, mailed),
    Route("GET", "/me/data", Access.PERSON, my_data),
    Route("GET", "/me/data.json", Access.PERSON, my_data_file),
    Route("GET", "/privacy", Access.ANYONE, privacy),
    Route("GET", "/privacy/<organisation>", Access.ANYONE, privacy_of),
    Route("GET", "/accessibility", Access.ANYONE, accessibility),
    Route("GET", "/static/<name>", Access.ANYONE, static),
    Route("GET", "/healthz", Access.ANYONE, healthz),
    Route("GET", "/readyz", Access.ANYONE, readyz),
    Route("GET", "/metrics", Access.ANYONE, metrics),
    Route("GET", "/statistics.csv", Access.ANYONE, statistics_api),
    Route("GET", "/statistics.json", Access.ANYONE, statistics_api),
    Route("GET", "/operator", Access.PERSON, operator.overview),
    Route("GET", "/operator/statistics", Access.PERSON, statistics),
    Route("GET", "/operator/statistics.csv", Access.PERSON, statistics_file),
    Route("GET", "/operator/statistics.json", Access.PERSON, statistics_file),
    Route("GET", "/operator/organisations/<name>", Access.PERSON, operator.organisation),
    Route("POST", "/operator/organisations/<name>/retry", Access.PERSON, operator.retry),
    Route("GET", "/operator/organisations/<name>/retry", Access.PERSON, operator.redirect_to_organisation),
    Route("POST", "/operator/organisations/<name>/links", Access.PERSON, list_links),
    Route("GET", "/operator/organisations/<name>/links", Access.PERSON, operator.redirect_to_organisation),
    Route("GET", "/operator/accounts", Access.PERSON, accounts),
    Route("POST", "/operator/accounts", Access.PERSON, compare_accounts, uploads=True),
    Route("GET", "/operator/incidents", Access.PERSON, operator.incident),
    Route("GET", "/operator/people", Access.PERSON, operator.search),
    Route("POST", "/operator/people", Access.PERSON, operator.submit_search),
    Route("POST", "/operator/people/record", Access.PERSON, operator.check_record),
    Route("GET", "/operator/people/record", Access.PERSON, operator.search),
    Route("POST", "/operator/people/claim", Access.PERSON, operator.confirm_claim),
    Route("GET", "/operator/people/claim", Access.PERSON, operator.search),
)
