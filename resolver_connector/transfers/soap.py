"""The kind `soap`: `modify` of the DirXML vocabulary (NetIQ, formerly Novell, Identity Manager), as in 2016.

SOAP 1.1, document/literal; the body is one element without a namespace. The response is a DSML 2.0 batch response. The
change is stored if and only if its `detail` is `success`; its `message` is for people. DSML has no code for an unknown
person or a conflict: the settings `unknown_person` and `conflict` name the words by which an interface says so.
Without them both are refusals.

Responses are parsed without document types and entities.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Self
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import model_validator

from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Policy, ValueForm, setting
from resolver_connector.transfers.deadline import Deadline
from resolver_connector.transfers.http import HttpTransfer, Response, failure, unexpected_body
from shibboleth.orcid_id import OrcidId

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
DSML: Final = "urn:oasis:names:tc:DSML:2:0:core"
SUCCESS: Final = "success"

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0 section 2.2."""

_TYPES = {
    "couldNotConnect": Outcome.TEMPORARY,
    "connectionClosed": Outcome.TEMPORARY,
    "gatewayInternalError": Outcome.TEMPORARY,
    "authenticationFailed": Outcome.MISCONFIGURED,
    "malformedRequest": Outcome.MISCONFIGURED,
    "unresolvableURI": Outcome.MISCONFIGURED,
}
"""Outcomes of the types of a DSML error (DSML 2.0, errorResponse); any other is a refusal."""

_FAULTS = {"Client": Outcome.REFUSED, "Server": Outcome.TEMPORARY}
"""Whose fault a SOAP fault is (SOAP 1.1, section 4.4.1); the other two are about settings."""


class SoapTransfer(HttpTransfer):
    """A receiver of `modify` of DirXML."""

    kind = "soap"

    soap_action: str = setting(
        "The SOAPAction, without quotes.", "http://www.novell.com/provisioning/service/receive", default=""
    )
    class_name: str = setting("What a person is there: `class-name`.", "User", default="User")
    attribute: str = setting(
        "The attribute that holds the iD: `attr-name`.", "eduPersonOrcid", default="eduPersonOrcid"
    )
    value_form: ValueForm = setting(
        "How the iD is written: `https`, `http` or `bare`. The interface's own schema of 2016 took only `bare`.",
        "bare",
        default=ValueForm.HTTPS,
    )
    policy: Policy = setting(
        "What becomes of another iD that is there: `replace` removes all values, as in 2016, `own` touches only "
        "ours. `single` is not possible: the interface cannot be asked what is there.",
        "replace",
        default=Policy.REPLACE,
    )
    unknown_person: str = setting(
        "Words of the answer's message or detail that mean: nobody has this account.", "no such object", default=""
    )
    conflict: str = setting(
        "Words of the answer's message or detail that mean: somebody else has it.", "not unique", default=""
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
        if _NOT_IN_XML.search(message.account):
            return DeliveryResult(Outcome.REFUSED, "the account holds a character that XML cannot carry")
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{self.soap_action}"'}
        response = self.request("POST", write(self, message), headers, deadline)
        said = _parsed(response)
        fault = None if said is None else said.find(f"{{{ENVELOPE}}}Body/{{{ENVELOPE}}}Fault")
        if fault is not None and (response.ok or response.status == 500):  # noqa: PLR2004 - SOAP 1.1 section 6.2
            return _read_fault(fault)
        if not response.ok:
            return failure(response, response.message(), now)
        error = None if said is None else said.find(f".//{{{DSML}}}batchResponse/{{{DSML}}}errorResponse")
        return unexpected_body(response, "a DSML response") if error is None else self._read_error_response(error)

    def _read_error_response(self, error: Element) -> DeliveryResult:
        message, detail = _text(error, f"{{{DSML}}}message"), _text(error, f"{{{DSML}}}detail")
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
    """Return the envelope."""
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


def _parsed(response: Response) -> Element | None:
    if not response.complete:
        return None
    try:
        found: Element = fromstring(response.body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return found


def _read_fault(fault: Element) -> DeliveryResult:
    code = _text(fault, "faultcode").rpartition(":")[2].partition(".")[0]
    return DeliveryResult(_FAULTS.get(code, Outcome.MISCONFIGURED), _text(fault, "faultstring") or f"SOAP fault {code}")


def _text(parent: Element, name: str) -> str:
    found = parent.find(name)
    return "" if found is None else "".join(found.itertext()).strip()
