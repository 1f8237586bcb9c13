"""Receiver of the DirXML vocabulary, as in 2016.

It accepts a `modify` in SOAP and answers in DSML.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from demo.idm.directory import Directory, bare
from demo.idm.http import Request, Response

_ANSWER: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>'
    '<batchResponse xmlns="urn:oasis:names:tc:DSML:2:0:core"><errorResponse requestID="1" type="{type}">'
    "<message>{message}</message><detail>{detail}</detail>"
    "</errorResponse></batchResponse></SOAP-ENV:Body></SOAP-ENV:Envelope>\n"
)
_MODIFY: Final = "{http://schemas.xmlsoap.org/soap/envelope/}Body/modify"


class DirXml:
    """Applies a `modify` to `eduPersonOrcid`."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def __call__(self, request: Request) -> Response:
        """Apply the steps of the `modify` in order; return the DN of the entry."""
        modify = _modify(request.body)
        attribute = None if modify is None else modify.find("modify-attr[@attr-name='eduPersonOrcid']")
        if modify is None or attribute is None:
            return _dsml_response("not a modify of eduPersonOrcid", "malformed", "malformedRequest")
        entry = self.directory.entry(modify.findtext("association", ""))
        if entry is None:
            return _dsml_response("no such object", "no match")
        values = _apply_steps(entry.values, attribute)
        if any(self.directory.find_holder(each, but=entry) for each in values):
            return _dsml_response("the value is not unique", "constraint")
        self.directory.change(entry, values)
        return _dsml_response(f"changed: cn={entry.account},ou=people,o=example", "success", "success")


def _modify(body: bytes) -> Element | None:
    try:
        found: Element | None = fromstring(body, forbid_dtd=True).find(_MODIFY)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    return found


def _apply_steps(values: list[str], attribute: Element) -> list[str]:
    for step in attribute:
        value = step.findtext("value", "")
        if step.tag == "remove-all-values":
            values = []
        elif step.tag == "remove-value":
            values = [each for each in values if bare(each) != bare(value)]
        elif step.tag == "add-value" and value not in values:
            values = [*values, value]
    return values


def _dsml_response(message: str, detail: str, type_: str = "other") -> Response:
    body = _ANSWER.format(type=type_, message=escape(message), detail=escape(detail))
    return Response(200, body.encode(), (("Content-Type", "text/xml; charset=utf-8"),))
