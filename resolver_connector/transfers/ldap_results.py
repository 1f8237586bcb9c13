"""What a directory's answers come to, by their codes, and what is to be done."""

from __future__ import annotations

from resolver_connector.transfers.base import Outcome

SUCCESS, SIZE_LIMIT, NO_SUCH_ATTRIBUTE, UNDEFINED_TYPE, VALUE_EXISTS, NO_SUCH_OBJECT = 0, 4, 16, 17, 20, 32
RACES = {NO_SUCH_ATTRIBUTE, VALUE_EXISTS}
"""What a modify is answered when the entry is not any more as it was read."""

OUTCOMES = {
    SUCCESS: Outcome.STORED,
    NO_SUCH_ATTRIBUTE: Outcome.TEMPORARY,  # still, after the entry was read again
    VALUE_EXISTS: Outcome.CONFLICT,  # still: the attribute holds one value only, or the two are equal there
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
"""What each result code (RFC 4511, 4.1.9) comes to; a code that is not here is a refusal."""

_TLS_ASKED = "The directory wants TLS: ldaps://, or start_tls = true."
_COPY = "This server is a copy that cannot be written to: url has to name one that can."
_RIGHTS = (
    "The service's account needs the right to write {attribute}, and to add {object_class} to objectClass wherever "
    "an entry lacks it."
)
HELP = {
    7: "The directory does not take this kind of bind.",
    8: _TLS_ASKED,
    10: _COPY,
    13: _TLS_ASKED,
    17: "The directory does not know {attribute}: its schema has to be loaded, or attribute has to be another.",
    21: "The directory takes no such value of {attribute}: value_form has to be another.",
    49: "The directory did not let the service in: bind_dn and password, or the certificate, are not as it has them.",
    50: _RIGHTS,
    53: _COPY,
    65: "Entries may not hold {attribute} without an object class that allows it: object_class has to name it.",
}
"""What is to be done, for the codes where that is known."""
