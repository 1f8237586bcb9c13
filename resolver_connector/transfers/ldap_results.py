"""Outcomes of LDAP result codes, and what to do about them."""

from __future__ import annotations

from resolver_connector.transfers.base import Outcome

SUCCESS, SIZE_LIMIT, NO_SUCH_ATTRIBUTE, UNDEFINED_TYPE, VALUE_EXISTS, NO_SUCH_OBJECT = 0, 4, 16, 17, 20, 32
RACES = {NO_SUCH_ATTRIBUTE, VALUE_EXISTS}
"""Results of a modify when another client changed the entry after it was read."""

OUTCOMES = {
    SUCCESS: Outcome.STORED,
    NO_SUCH_ATTRIBUTE: Outcome.TEMPORARY,  # even after the entry was read again
    VALUE_EXISTS: Outcome.CONFLICT,  # even then: the attribute is single-valued, or the two values are equal there
    NO_SUCH_OBJECT: Outcome.UNKNOWN_PERSON,
    19: Outcome.CONFLICT,  # constraintViolation
    **dict.fromkeys(
        # timeLimitExceeded adminLimitExceeded busy unavailable other
        (3, 11, 51, 52, 80),
        Outcome.TEMPORARY,
    ),
    **dict.fromkeys(
        # operationsError protocolError authMethodNotSupported strongerAuthRequired referral
        # unavailableCriticalExtension confidentialityRequired undefinedAttributeType inappropriateMatching
        # invalidAttributeSyntax invalidDNSyntax inappropriateAuthentication invalidCredentials
        # insufficientAccessRights unwillingToPerform objectClassViolation objectClassModsProhibited
        (1, 2, 7, 8, 10, 12, 13, 17, 18, 21, 34, 48, 49, 50, 53, 65, 69),
        Outcome.MISCONFIGURED,
    ),
}
"""The outcome of each result code (RFC 4511 section 4.1.9); any other is a refusal."""

_TLS_ASKED = "The directory requires TLS: use ldaps://, or start_tls = true."
_COPY = "This server is a read-only replica: url must name one that can be written."
_RIGHTS = (
    "The service's account needs the right to write {attribute}, and to add {object_class} to the objectClass of "
    "entries without it."
)
START_TLS_HINT = (
    "The directory refused StartTLS, which start_tls = true asks for: use ldaps://, or start_tls = false if it is on "
    "this machine."
)
HINTS = {
    7: "The directory does not accept this bind method.",
    8: _TLS_ASKED,
    10: _COPY,
    13: _TLS_ASKED,
    17: "The directory does not know {attribute}: load its schema, or change the setting attribute.",
    21: "The directory does not accept this value of {attribute}: change value_form.",
    49: "The directory rejected the credentials: check bind_dn and password, or the certificate.",
    50: _RIGHTS,
    53: _COPY,
    65: "{attribute} needs an object class that allows it: name it in object_class.",
}
"""What to do, by result code."""
