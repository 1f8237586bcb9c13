"""Errors of the record API: five keys in JSON or XML, by error code."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import responses
from typing import Any, Final

MORE: Final = "https://members.orcid.org/api/resources/troubleshooting"


@dataclass(frozen=True, slots=True)
class ErrorType:
    """Status and user message.

    `developer` is set where the developer message has another status or text.
    """

    status: int
    user: str
    developer: str = ""


ERRORS: Final = {
    9001: ErrorType(400, "There was a problem with the request."),
    9002: ErrorType(401, "The client application is not authorized."),
    9004: ErrorType(403, "The access token does not have the scope for this call."),
    9005: ErrorType(403, "The access token does not have the scope for this record."),
    9006: ErrorType(400, "A value of the request is invalid."),
    9007: ErrorType(301, "This account is deprecated.", "301 Moved Permanently: This account is deprecated. {detail}"),
    9008: ErrorType(500, "Something went wrong in ORCID."),
    9010: ErrorType(403, "The client application is not the source of the item it is trying to change."),
    9011: ErrorType(404, "The record or item was not found."),
    9012: ErrorType(400, "The request has an invalid parameter."),
    9013: ErrorType(403, "The item is private and this client is not its source."),
    9014: ErrorType(403, "The client application may not do this."),
    9015: ErrorType(401, "The scope is not allowed."),
    9016: ErrorType(404, "The resource was not found."),
    9017: ErrorType(401, "The client application is not authorized for this ORCID record."),
    9018: ErrorType(
        409, "The ORCID record is locked.", "409 Conflict: The ORCID record is locked and cannot be edited. {detail}"
    ),
    9019: ErrorType(400, "The put-code in the URL does not match the one in the item."),
    9020: ErrorType(400, "The message is invalid."),
    9021: ErrorType(409, "There is already an item with the same external identifier."),
    9022: ErrorType(400, "The item has no title."),
    9023: ErrorType(400, "The item has no external identifier."),
    9024: ErrorType(400, "A new item must not have a put-code."),
    9028: ErrorType(404, "There is no such webhook."),
    9030: ErrorType(409, "An element is there twice."),
    9031: ErrorType(409, "An element has no put-code."),
    9034: ErrorType(400, "The put-code is not a number."),
    9035: ErrorType(403, "The visibility of an item is the person's to change."),
    9036: ErrorType(409, "This record has not been claimed."),
    9038: ErrorType(
        403, "The client application does not have the permission it needs.", "409 Conflict: Insufficient scope."
    ),
    9039: ErrorType(403, "The item is not public."),
    9041: ErrorType(404, "There is no biography."),
    9042: ErrorType(400, "There are more than 100 put-codes."),
    9043: ErrorType(400, "The search starts beyond 10,000."),
    9044: ErrorType(
        409,
        "The ORCID record is deactivated.",
        "409 Conflict: The ORCID record is deactivated and cannot be edited. {detail}",
    ),
    9045: ErrorType(400, "The disambiguated organization is missing or not known."),
    9046: ErrorType(400, "The organization is missing or has no name."),
    9047: ErrorType(400, "The JSON could not be read."),
    9048: ErrorType(409, "The record has more than 10,000 works."),
    9049: ErrorType(400, "The date is not a date."),
    9050: ErrorType(400, "The start date is missing."),
    9051: ErrorType(400, "The value is not one of those allowed."),
    9052: ErrorType(403, "The token is not for this version of the API."),
    9055: ErrorType(400, "The end date is before the start date."),
    9057: ErrorType(409, "The client application is locked or deactivated."),
    9060: ErrorType(400, "The organization's address needs a city and a country."),
    9061: ErrorType(400, "A city or region needs a country."),
    9062: ErrorType(400, "The item needs a disambiguated organization or an external identifier."),
}


class ApiError(Exception):
    """A request fails with a known error code.

    Args:
        detail: Added to the developer message.
    """

    def __init__(self, code: int, detail: str = "", *, status: int | None = None, location: str | None = None) -> None:
        super().__init__(f"{code}: {ERRORS[code].user}")
        self.code = code
        self.detail = detail
        self.status = status or ERRORS[code].status
        self.location = location

    @property
    def body(self) -> dict[str, Any]:
        """The five keys, in order."""
        known = ERRORS[self.code]
        if known.developer and (self.code, self.status) != (9007, 409):  # a merged record: only the 301 names the other
            developer = known.developer.format(detail=self.detail).strip()
        else:
            developer = f"{self.status} {responses[self.status]}: {known.user}"
            developer += f" Full validation error: {self.detail}" if self.detail else ""
        return {
            "response-code": self.status,
            "developer-message": developer,
            "user-message": known.user,
            "error-code": self.code,
            "more-info": MORE,
        }
