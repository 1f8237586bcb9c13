"""The list of an organisation's links, for its administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver_connector.attested.bulk import CSV
from resolver_connector.attested.listing import is_listed, write_links
from resolver_connector.http import NDJSON
from webapp.log import log
from webapp.operator.access import NotPermitted
from webapp.operator.people import requester
from webapp.pages.request import PageRequest, RawResponse

if TYPE_CHECKING:
    from webapp.pages.context import AppContext


def list_links(context: AppContext, request: PageRequest) -> RawResponse:
    """Return the current links of the administrator's own organisation as a file.

    It is recorded in the audit log. An operator who is no administrator of the organisation gets no file.

    Raises:
        NotPermitted: If the person is no administrator of the organisation.
    """
    one = request.person.organisation
    if request.path_params["name"] != one.id or not context.admin_access.is_administrator(request.person):
        raise NotPermitted
    media_type, extension = (NDJSON, "ndjson") if request.form.get("format") == "ndjson" else (CSV, "csv")
    registry = context.linking.orcid.registry
    found = [each for each in context.store.links.list_current(one.id) if is_listed(each, registry)]
    facts = {**requester(request.person), "links": str(len(found))}
    context.store.audit.add(one.id, "links-listed", "organisation", None, facts, request.now)
    log("links-listed", organisation=one.id, links=len(found))
    body = b"".join(write_links(media_type, found))
    content_type = f"{media_type}; charset=utf-8" if media_type == CSV else media_type
    return RawResponse(body, content_type, filename=f"orcid-{one.id}.{extension}")
