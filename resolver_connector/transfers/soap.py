"""The kind `soap`: `modify` of the DirXML vocabulary, as in 2016.

The vocabulary is that of NetIQ (formerly Novell) Identity Manager.

SOAP 1.1, document/literal; the body is one element without a namespace. The response is a DSML 2.0 batch response. The
change is stored if and only if its `detail` is `success`; its `message` is for people. DSML has no code for an unknown
person or a conflict: the settings `unknown_person` and `conflict` name the words by which an interface says so. Without
them both are refusals.

Responses are parsed without document types and entities.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final, Self
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import model_validator

from resolver_connector.transfers.base import (
    ChangeMessage,
    DeliveryResult,
    Outcome,
    Policy,
    ValueForm,
    transfer_setting,
)
from resolver_connector.transfers.http import HttpTransfer
from resolver_connector.transfers.http_response import Response, failure_result, unexpected_body
from shibboleth.deadline import Deadline
from shibboleth.orcid_id import OrcidId

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
DSML: Final = "urn:oasis:names:tc:DSML:2:0:core"
SUCCESS: Final = "success"

_TYPES = {
    "couldNotConnect": Outcome.TEMPORARY,
    "connectionClosed": Outcome.TEMPORARY,
    "gatewayInternalError": Outcome.TEMPORARY,
    "authenticationFailed": Outcome.MISCONFIGURED,
    "malformedRequest": Outcome.MISCONFIGURED,
    "unresolvableURI": Outcome.MISCONFIGURED,
}
"""Outcomes of the types of a DSML error (DSML 2.0, errorResponse); any other is a refusal."""

_FAULTS = {
    "client": Outcome.REFUSED,
    "sender": Outcome.REFUSED,
    "server": Outcome.TEMPORARY,
    "receiver": Outcome.TEMPORARY,
}
"""Outcomes of SOAP faults (SOAP 1.1 section 4.4.1, SOAP 1.2 section 5.4.6); the other codes are about settings."""
_FAULT_STATUSES = {400, 500}
"""SOAP 1.1 section 6.2, SOAP 1.2 part 2 section 7.5.2.2; another error status says more than the fault."""


class SoapTransfer(HttpTransfer):
    """A receiver of `modify` of DirXML."""

    kind = "soap"

    soap_action: str = transfer_setting(
        "The SOAPAction, without quotes.", "http://www.novell.com/provisioning/service/receive", default=""
    )
    class_name: str = transfer_setting("What a person is there: `class-name`.", "User", default="User")
    attribute: str = transfer_setting(
        "The attribute that holds the iD: `attr-name`.", "eduPersonOrcid", default="eduPersonOrcid"
    )
    value_form: ValueForm = transfer_setting(
        "How the iD is written: `https`, `http` or `bare`. The interface's own schema of 2016 took only `bare`.",
        "bare",
        default=ValueForm.HTTPS,
    )
    policy: Policy = transfer_setting(
        "What happens to another iD that the person has: `replace` removes all values, as in 2016, `own` changes only "
        "iDs that this service wrote. `single` is not possible: the interface cannot be asked what is there.",
        "replace",
        default=Policy.REPLACE,
    )
    unknown_person: str = transfer_setting(
        "Words of the response's message or detail that mean: the account is unknown.", "no such object", default=""
    )
    conflict: str = transfer_setting(
        "Words of the response's message or detail that mean: another person has the iD.", "not unique", default=""
    )

    @model_validator(mode="after")
    def _check_soap(self) -> Self:
        if self.policy is Policy.SINGLE:
            raise ValueError(
                'policy = "single" is not possible with soap, which cannot ask what is there: choose "own"'
            )
        if not self.soap_action.isascii() or not self.soap_action.isprintable() or '"' in self.soap_action:
            raise ValueError("soap_action is not an address: write it without quotes")
        if not self.class_name or not self.attribute:
            raise ValueError("class_name and attribute must not be empty")
        return self

    def exchange(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:
        """Post the change."""
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{self.soap_action}"'}
        response = self.request("POST", write(self, message), headers, deadline)
        document = _parse(response)
        fault = None if document is None else _descendant(document, "fault")
        if fault is not None and (response.ok or response.status in _FAULT_STATUSES):
            return _read_fault(fault)
        if not response.ok:
            return failure_result(response, response.message(), now)
        error = None if document is None else document.find(f".//{{{DSML}}}batchResponse/{{{DSML}}}errorResponse")
        return unexpected_body(response, "a DSML response") if error is None else self._read_error_response(error)

    def _read_error_response(self, error: Element) -> DeliveryResult:
        message, detail = (_content(error.find(f"{{{DSML}}}{name}")) for name in ("message", "detail"))
        if detail == SUCCESS:
            return DeliveryResult(Outcome.STORED, message)
        said = f"{message} {detail}".casefold()
        for words, outcome in ((self.unknown_person, Outcome.UNKNOWN_PERSON), (self.conflict, Outcome.CONFLICT)):
            if words and words.casefold() in said:
                return DeliveryResult(outcome, message or detail)
        return DeliveryResult(
            _TYPES.get(error.get("type", ""), Outcome.REFUSED), message or detail or "no success, no words"
        )


def write(soap: SoapTransfer, message: ChangeMessage) -> bytes:
    """Return the SOAP envelope of a change."""
    envelope = Element(f"{{{ENVELOPE}}}Envelope")
    body = SubElement(envelope, f"{{{ENVELOPE}}}Body")
    modify = SubElement(body, "modify", {"class-name": soap.class_name})
    SubElement(modify, "association", {"state": "associated"}).text = message.account
    attribute = SubElement(modify, "modify-attr", {"attr-name": soap.attribute})
    if soap.policy is Policy.REPLACE:
        SubElement(attribute, "remove-all-values")
    elif message.previous:
        _add(attribute, "remove-value", soap.value_form, message.previous)
    if message.orcid_id:
        _add(attribute, "add-value", soap.value_form, message.orcid_id)
    written: bytes = tostring(envelope, encoding="UTF-8", xml_declaration=True)
    return written


def _add(parent: Element, name: str, form: ValueForm, orcid_id: OrcidId) -> None:
    SubElement(SubElement(parent, name), "value").text = form.write(orcid_id)


def _parse(response: Response) -> Element | None:
    """Return the XML document of a response.

    It may be one part of a multipart response (SOAP with attachments, MTOM).
    """
    root = response.root_part()
    # By its own declaration, or else by the charset of its label
    for content in (root.body, root.text):
        with suppress(ParseError, DefusedXmlException, ValueError, LookupError):
            document: Element = fromstring(content.strip(), forbid_dtd=True)
            return document
    return None


def _read_fault(fault: Element) -> DeliveryResult:
    """Return the result for a fault of SOAP 1.1 or 1.2.

    The namespace is ignored, because some servers mix them.
    """
    code, reason = _descendant(fault, "faultcode", "value"), _descendant(fault, "faultstring", "text")
    name = _content(code).rpartition(":")[2].partition(".")[0]
    return DeliveryResult(_FAULTS.get(name.lower(), Outcome.MISCONFIGURED), _content(reason) or f"SOAP fault {name}")


def _descendant(parent: Element, *names: str) -> Element | None:
    """Return the first element with one of these local names, in lower case."""
    return next((each for each in parent.iter() if each.tag.rpartition("}")[2].lower() in names), None)


def _content(element: Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()
