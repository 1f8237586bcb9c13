"""The list of an organisation's links, for its administrators."""

from __future__ import annotations

from tempfile import TemporaryFile
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

    The file is written to the disk first: the memory for it does not grow with the number of links, and a slow client
    occupies neither the database nor a thread of the server.

    Raises:
        NotPermitted: If the person is no administrator of the organisation.
    """
    one = request.person.organisation
    if request.path_params["name"] != one.id or not context.admin_access.is_administrator(request.person):
        raise NotPermitted
    media_type, extension = (NDJSON, "ndjson") if request.form.get("format") == "ndjson" else (CSV, "csv")
    registry = context.linking.orcid.registry
    context.store.audit.add(one.id, "links-listed", "organisation", None, requester(request.person), request.now)
    log("links-listed", organisation=one.id)
    links = (each for each in context.store.links.list_current(one.id) if is_listed(each, registry))
    content_type = f"{media_type}; charset=utf-8" if media_type == CSV else media_type
    file = TemporaryFile()  # noqa: SIM115 - the server closes it
    try:
        file.writelines(write_links(media_type, links))
        headers = {"Content-Length": str(file.tell())}
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return RawResponse(file, content_type, filename=f"orcid-{one.id}.{extension}", headers=headers)
