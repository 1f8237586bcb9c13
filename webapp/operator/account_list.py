"""Comparison of a list of accounts with an organisation's links.

The list is in memory during the request, and is neither stored nor logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from resolver_connector.attested.bulk import CSV
from resolver_connector.csv_file import CsvDefect, CsvRow, InvalidCsvFile, read_csv_stream, write_csv
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from shibboleth.person import AttributeDefect, Person, invalid_account
from webapp.auth.cookies import OWS
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.log import log
from webapp.operator.access import NotPermitted
from webapp.operator.people import requester
from webapp.pages.problems import ATTRIBUTE_DEFECT_TEXTS
from webapp.pages.request import Page, PageRequest, RawResponse

if TYPE_CHECKING:
    from webapp.pages.context import AppContext

EVENT_KIND = "accounts-compared"
"""The kind of the audit event."""
MAX_ROWS = 200_000
MAX_ERRORS = 20
"""Number of wrong rows that the page names."""
DEFAULT_COLUMN = "account"
_MAX_COLUMN_LENGTH = 100
_MAX_SHOWN_LENGTH = 100
"""Characters of a wrong account that are shown."""

NO_LIST = gettext_noop("Choose a file, or enter the accounts.")
TWO_LISTS = gettext_noop("Choose a file or enter the accounts, not both.")
LONG_COLUMN = gettext_noop("The name of the column is too long.")
NO_ACCOUNT = gettext_noop(
    "No line has an account of your organisation. If the list has several columns, its first line must name them, and "
    "one must have the name that you enter here."
)
TOO_MANY_ROWS = gettext_noop("The list has more than %(number)s lines. Split it.")
CSV_DEFECT_TEXTS = {
    CsvDefect.NOT_TEXT: gettext_noop("The file is not text. Save it as CSV or text, in UTF-8."),
    CsvDefect.ROW_TOO_LONG: gettext_noop(
        "The value that begins in line %(line)s is too long: add the closing quotation mark.",
    ),
    CsvDefect.OTHER_LINES: gettext_noop("Too many lines of the list are empty. Remove them."),
    CsvDefect.LINE_TOO_LONG: gettext_noop("the line is too long"),
    CsvDefect.QUOTATION: gettext_noop("a closing quotation mark is missing or is followed by text"),
    CsvDefect.NOT_UTF8: gettext_noop("the text is not in UTF-8"),
    CsvDefect.UNNAMED_COLUMN: gettext_noop("it has more values than the first line has columns"),
}
"""What may be wrong with a list or a line of it, as messages of the catalogues."""


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that is no account of the organisation."""

    line: int
    reason: str
    """A message of the catalogues."""
    account: str = ""


@dataclass(frozen=True, slots=True)
class AccountList:
    """The accounts of a list."""

    rows: int
    accounts: Mapping[str, str]
    """By key, in the order of the list, as they are first written in it."""
    foreign: int
    """Rows with an account of another scope."""
    unreadable: int
    """Other rows without an account."""
    errors: Sequence[WrongRow]
    """The first MAX_ERRORS of these rows."""


class InvalidAccountList(ValueError):
    """The list cannot be compared.

    `message` is a message of the catalogues with placeholders for `values`, and `field` the name of the form's field.
    """

    def __init__(
        self, message: str, field: str, errors: Sequence[WrongRow] = (), values: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.errors = errors
        self.values = values or {}


def accounts(context: AppContext, request: PageRequest) -> Page:
    """Show the form for a list of accounts.

    Raises:
        NotPermitted: If the person is no administrator of their organisation.
    """
    return _page(context, request)


def compare_accounts(context: AppContext, request: PageRequest) -> Page | RawResponse:
    """Show the accounts of a list that have no link, or return them as CSV.

    It is recorded in the audit log, with the numbers alone.

    Raises:
        NotPermitted: If the person is no administrator of their organisation.
    """
    organisation = request.person.organisation
    page = _page(context, request)
    if not context.settings(organisation).keeps_links:
        return page
    try:
        found = parse_account_list(organisation, request.form, request.files)
    except InvalidAccountList as error:
        return Page(page.template, {**page.variables, "error": error}, 422)
    unlinked = dict(found.accounts)
    for person_key in context.store.links.linked_keys(organisation.id):
        unlinked.pop(person_key, None)
    numbers = {"accounts": str(len(found.accounts)), "unlinked": str(len(unlinked))}
    facts = {**requester(request.person), **numbers}
    context.store.audit.add(organisation.id, EVENT_KIND, "organisation", None, facts, request.now)
    log(EVENT_KIND, organisation=organisation.id, **numbers)
    if request.form.get("format") == "csv":
        lines = write_csv((DEFAULT_COLUMN,), ([account] for account in unlinked.values()))
        filename = f"without-orcid-{organisation.id}.csv"
        return RawResponse("".join(lines).encode(), f"{CSV}; charset=utf-8", filename=filename)
    return Page(page.template, {**page.variables, "found": found, "unlinked": [*unlinked.values()]})


def parse_account_list(organisation: Organisation, form: Mapping[str, str], files: Mapping[str, bytes]) -> AccountList:
    """Parse the list in a form: a file or a text, with one account a line or CSV.

    Raises:
        InvalidAccountList: If there is no list or two, or the list has no account of the organisation.
    """
    column = (form.get("column", "").strip(OWS) or DEFAULT_COLUMN).lower()
    file, text = files.get("file", b""), form.get("accounts", "")
    if len(column) > _MAX_COLUMN_LENGTH:
        raise InvalidAccountList(LONG_COLUMN, "column")
    if bool(file.strip()) == bool(text.strip()):
        raise InvalidAccountList(TWO_LISTS if text.strip() else NO_LIST, "file")
    field = "file" if file.strip() else "accounts"
    try:
        found = _read(organisation, _rows(file or text.encode(), column), column)
    except InvalidCsvFile as error:
        text = CSV_DEFECT_TEXTS[error.defect or CsvDefect.NOT_TEXT]
        raise InvalidAccountList(text, field, values={"line": error.line}) from None
    if found.rows > MAX_ROWS:
        raise InvalidAccountList(TOO_MANY_ROWS, field, values={"number": MAX_ROWS})
    if not found.accounts:
        raise InvalidAccountList(NO_ACCOUNT, "column", found.errors)
    return found


def _rows(content: bytes, column: str) -> Iterator[CsvRow]:
    try:
        yield from read_csv_stream(BytesIO(content), [column], [column], ignore_others=True)
    except InvalidCsvFile as error:
        if error.defect is not CsvDefect.NO_HEADER:
            raise
        # Before any row was read
        yield from read_csv_stream(BytesIO(content), [column], [column], has_header=False)


def _read(organisation: Organisation, rows: Iterator[CsvRow], column: str) -> AccountList:
    found: dict[str, str] = {}
    errors: list[WrongRow] = []
    count = foreign = unreadable = 0
    for row in rows:
        count += 1
        if count > MAX_ROWS:
            break
        account = row.cells.get(column, "")
        defect = row.defect or invalid_account(organisation, account)
        if defect is None:
            found.setdefault(fold(account), account)
            continue
        foreign += defect is AttributeDefect.FOREIGN_SCOPE
        unreadable += defect is not AttributeDefect.FOREIGN_SCOPE
        if len(errors) < MAX_ERRORS:
            reason = CSV_DEFECT_TEXTS[defect] if isinstance(defect, CsvDefect) else ATTRIBUTE_DEFECT_TEXTS[defect]
            errors.append(WrongRow(row.line, reason, account[:_MAX_SHOWN_LENGTH]))
    return AccountList(count, found, foreign, unreadable, errors)


def _page(context: AppContext, request: PageRequest) -> Page:
    person: Person = request.person
    if not context.admin_access.is_administrator(person):
        raise NotPermitted
    facts = {
        "organisation": person.organisation,
        "keeps_links": context.settings(person.organisation).keeps_links,
        "scopes": sorted(person.organisation.scopes),
        "column": request.form.get("column", DEFAULT_COLUMN)[:_MAX_COLUMN_LENGTH],
        "max_rows": MAX_ROWS,
        "token": csrf_token(request.browser, person),
        "found": None,
        "error": None,
    }
    return Page("operator/accounts.html", facts)
