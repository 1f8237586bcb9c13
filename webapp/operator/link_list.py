"""The list of an organisation's links, for its administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver_connector.link_list import csv_lines, ndjson_lines
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
    as_csv = request.form.get("format") != "ndjson"
    found = list(context.store.links.list_current(one.id))
    facts = {**requester(request.person), "links": str(len(found))}
    context.store.audit.add(one.id, "links-listed", "organisation", None, facts, request.now)
    log("links-listed", organisation=one.id, links=len(found))
    body = "".join(csv_lines(found) if as_csv else ndjson_lines(found)).encode()
    content_type, extension = ("text/csv; charset=utf-8", "csv") if as_csv else ("application/x-ndjson", "ndjson")
    return RawResponse(body, content_type, filename=f"orcid-{one.id}.{extension}")
