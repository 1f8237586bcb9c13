"""Who may see the operator's pages, and who may read the metrics, as the configuration says it."""

import pytest

from tests.support.configuration import write, write_configuration, write_secret
from webapp.auth.named_people import NamedPeople
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.operator.access import AdminAccess
from webapp.wiring.pages import admin_access_of

HOME = "yliopisto"
TOKEN = "m" * 32
ENTITLEMENT = "urn:mace:example.org:orcid-connect:operator"


def configured(directory, service="", organisation=""):
    """Write a configuration with these lines at the ends of its files."""
    path = write_configuration(directory)
    own = directory / "organisations" / "yliopisto.toml"
    write(path, path.read_text("utf-8") + service)
    write(own, own.read_text("utf-8") + organisation)
    write_secret(directory / "secrets" / "metrics.token", TOKEN)
    return path


def operator(**said):
    """Give the lines of an operator."""
    lines = {"organisation": f'"{HOME}"', **said}
    return "\n[[operator]]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


def problem(path):
    """Give the one problem of a configuration, without where it stands."""
    with pytest.raises(Misconfigured) as caught:
        load(path, {})
    (one,) = caught.value.problems
    return one.key, one.text


def test_without_configuration_no_person_is_an_administrator(tmp_path):
    staff = admin_access_of(load(configured(tmp_path), {}))

    assert staff == AdminAccess(administrators=(NamedPeople(HOME),))


def test_operators_and_administrators_are_named_each_at_one_organisation(tmp_path):
    two = operator(people='["Maija@Yliopisto.example"]') + operator(entitlements=f'["{ENTITLEMENT}"]')

    staff = admin_access_of(
        load(configured(tmp_path, two, '\n[administrators]\npeople = ["ville@yliopisto.example"]\n'), {})
    )

    assert staff.operators == (
        NamedPeople.parse(HOME, ("maija@yliopisto.example",)),
        NamedPeople(HOME, entitlements=frozenset({ENTITLEMENT})),
    )
    assert staff.administrators == (NamedPeople.parse(HOME, ("ville@yliopisto.example",)),)


@pytest.mark.parametrize(
    ("written", "issued"),
    [
        ("Maija@Yliopisto.example  issued  20240826", "20240826"),
        ("maija@yliopisto.example issued 2024-08-26 12:00", "2024-08-26 12:00"),
        ("maija@yliopisto.example issued 2024-08-26 12:00:00 +03:00", "2024-08-26 12:00:00 +03:00"),
        ("maija@yliopisto.example issued 2024-08-26T12:00:00Z", "2024-08-26T12:00:00Z"),
    ],
)
def test_an_operator_may_be_named_with_the_date_on_which_the_account_was_issued(tmp_path, written, issued):
    staff = admin_access_of(load(configured(tmp_path, operator(people=f'["{written}"]')), {}))

    assert staff.operators == (NamedPeople(HOME, people=frozenset({("maija@yliopisto.example", issued)})),)


def test_the_metrics_have_a_token_of_their_own(tmp_path):
    staff = admin_access_of(load(configured(tmp_path, '\n[metrics]\ntoken = "file:secrets/metrics.token"\n'), {}))

    assert staff.metrics_token == TOKEN
    assert TOKEN not in repr(staff)


@pytest.mark.parametrize(
    ("service", "key", "text"),
    [
        (operator(), "operator (value 1)", "names neither people nor entitlements"),
        (
            operator(organisation='"elsewhere"', people='["a@elsewhere.example"]'),
            "operator.organisation (value 1)",
            "is not connected",
        ),
        (
            operator(people='["maija@yliopisto.example issued "]'),
            "operator.people (value 1) (value 1)",
            "has no date after issued",
        ),
        (
            operator(people='["maija@yliopisto.example issued 2024-08-26 25:00"]'),
            "operator.people (value 1) (value 1)",
            "has no date after issued",
        ),
        (
            operator(people='["maija@yliopisto.example issued on Monday"]'),
            "operator.people (value 1) (value 1)",
            "has no date after issued",
        ),
        (
            operator(people='["a\\u0007"]'),
            "operator.people (value 1) (value 1)",
            "holds an invisible character, U+0007 (a control character)",
        ),
        (
            operator(people='[""]'),
            "operator.people (value 1) (value 1)",
            "must be 1 to 512 characters",
        ),
        (operator(entitlements='["operator"]'), "operator.entitlements (value 1) (value 1)", "is not a URI"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_an_administrator_entry_without_a_person_is_refused(tmp_path, service, key, text):
    assert problem(configured(tmp_path, service)) == (key, text)


def test_a_short_token_of_the_metrics_is_refused(tmp_path):
    path = configured(tmp_path, '\n[metrics]\ntoken = "file:secrets/metrics.token"\n')
    write_secret(tmp_path / "secrets" / "metrics.token", "short")

    assert problem(path)[0] == "metrics.token"
