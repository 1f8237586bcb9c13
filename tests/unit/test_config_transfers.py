"""The transfers of an organisation are read whole or refused whole, like all of its file."""

from pathlib import Path

import pytest

from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.file import FileTransfer, Format
from resolver_connector.transfers.rest import Profile, RestTransfer
from tests.support.configuration import TOKEN, write_configuration
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.config.organisation import Keep
from webapp.config.transfers import describe_kind
from webapp.linking.status_round import RecordPolicy
from webapp.wiring.status_round import make_status_round

UNIVERSITY = "yliopisto"
REST = {"name": "idm", "kind": "rest", "url": "https://idm.yliopisto.example/orcid", "token": "file:secrets/idm"}
FILE = {"name": "nightly", "kind": "file", "directory": "/var/spool/orcid-connect"}
SECRET = "s" * 40


def written(directory, *transfers, **settings):
    """Write a configuration with these transfers."""
    settings = {"transfer": list(transfers), **settings}
    return write_configuration(directory, organisations={"yliopisto": settings}, secrets={"idm": SECRET})


def read(path, environ=None):
    """Read a configuration with all kinds of transfers."""
    return load(path, environ or {})


def problem(path):
    """Give the one problem of a configuration that has one, as it is told."""
    with pytest.raises(Misconfigured) as caught:
        read(path)
    (one,) = caught.value.problems
    return f"{one.key}: {one.text}; {one.fix}"


def test_an_organisation_may_have_several_transfers(tmp_path):
    transfers = read(written(tmp_path, REST, FILE)).transfers[UNIVERSITY]

    assert list(transfers) == ["idm", "nightly"]
    assert transfers["idm"] == RestTransfer(url=REST["url"], token=SECRET)
    assert transfers["nightly"] == FileTransfer(directory=Path(FILE["directory"]))


def test_an_organisation_need_have_none(tmp_path):
    config = read(write_configuration(tmp_path))

    assert config.transfers == {UNIVERSITY: {}}
    assert config.organisation_settings[UNIVERSITY].keep is Keep.LINKS


def test_each_type_of_setting_is_read(tmp_path):
    csc = {**REST, "name": "csc", "profile": "csc", "mediator": "https://connect.example", "ca_file": "ca.pem"}
    signed = {**REST, "token": None, "signing_secrets": ["env:OLD", "env:NEW"]}
    del signed["token"]
    secrets = [f"whsec_{letter * 32}" for letter in "ab"]

    transfers = read(
        written(tmp_path, csc, signed, {**FILE, "format": "jsonl"}), dict(zip(("OLD", "NEW"), secrets, strict=True))
    ).transfers[UNIVERSITY]

    assert transfers["csc"].profile is Profile.CSC
    assert transfers["csc"].ca_file == tmp_path / "ca.pem"
    assert [each.get_secret_value() for each in transfers["idm"].signing_secrets] == secrets
    assert transfers["nightly"].format is Format.JSONL


def test_every_secret_of_a_transfer_is_among_those_that_check_looks_after(tmp_path):
    config = read(written(tmp_path, REST))

    assert {secret.reveal() for secret in config.secrets} >= {SECRET, TOKEN}


def test_no_secret_of_a_transfer_shows(tmp_path):
    assert SECRET not in repr(read(written(tmp_path, REST)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tokn": "x"}, "transfer.idm.tokn: is not a setting; did you mean token?"),
        (
            {"zzzzzz": 1},
            (
                "transfer.idm.zzzzzz: is not a setting; remove it; the settings of [[transfer]] are: ca_file, "
                "certificate, certificate_key, issuer, mediator, password, profile, removal, signing_secrets, token, "
                "url, user, value_form"
            ),
        ),
        (
            {"url": None},
            'transfer.idm.url: is missing; add to [[transfer]], for example: url = "https://idm.example.org/orcid"',
        ),
        (
            {"url": 3},
            'transfer.idm.url: must be text in quotes; write it in quotes, for example: url = "https://idm.example.org/orcid"',
        ),
        ({"profile": "v2"}, 'transfer.idm.profile: must be "v1" or "csc"; write for example: profile = "v1"'),
        ({"kind": "rset"}, f"transfer.kind (value 1): must be one of: {', '.join(TRANSFERS)}; did you mean rest?"),
        (
            {"kind": None},
            'transfer.kind (value 1): is missing; add to [[transfer]], for example: kind = "rest"',
        ),
        (
            {"name": None},
            'transfer.name (value 1): is missing; add to [[transfer]], for example: name = "idm"',
        ),
        (
            {"name": "My IdM"},
            'transfer.name (value 1): must be 1 to 63 of a-z, 0-9 and -; write for example: name = "idm"',
        ),
        (
            {"url": "http://idm.yliopisto.example/"},
            (
                "transfer.idm: url is not https: people's identifiers go over the network only under TLS; "
                'fix it; docs/settings.md says what each setting of kind = "rest" is for'
            ),
        ),
        (
            {"ca_file": ""},
            "transfer.idm.ca_file: is empty; write a path, or remove it",
        ),
        (
            {"signing_secrets": "file:secrets/idm"},
            (
                'transfer.idm.signing_secrets: must be a list of references, each "file:/path" or "env:NAME"; '
                'write it in brackets, for example: signing_secrets = ["file:secrets/idm.whsec"]'
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_transfer_is_said(tmp_path, changes, told):
    table = {name: value for name, value in {**REST, **changes}.items() if value is not None}

    assert problem(written(tmp_path, table)) == told


LDAP = {
    "name": "directory",
    "kind": "ldap",
    "url": "ldaps://ldap.yliopisto.example",
    "base": "ou=people,dc=example",
    "bind_dn": "cn=orcid-connect,dc=example",
    "password": "file:secrets/idm",
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"start_tls": "false"},
            "start_tls: must be true or false, without quotes; write it without quotes, for example: start_tls = true",
        ),
        ({"start_tls": 0}, "start_tls: must be true or false, without quotes; write for example: start_tls = true"),
        (
            {"base": True},
            'base: must be text in quotes; write it in quotes, for example: base = "ou=people,dc=example,dc=org"',
        ),
        ({"ca_file": 7}, 'ca_file: must be a path in quotes; write it in quotes, for example: ca_file = "ca.pem"'),
        ({"bind": "SIMPLE"}, 'bind: must be "simple" or "external"; did you mean bind = "simple"?'),
        ({"start_tls": True, "url": "ldap://ldap.yliopisto.example", "base": " "}, "base is empty"),
    ],
)
def test_settings_of_a_directory_are_exactly_of_their_types(tmp_path, changes, told):
    one = problem(written(tmp_path, {**LDAP, **changes}))

    assert one.removeprefix("transfer.directory").lstrip(".: ").startswith(told)


@pytest.mark.parametrize("reference", [7, True, ["file:secrets/idm"], "secret", "file:", "env:NO_SUCH"])
def test_what_is_no_reference_is_no_secret(tmp_path, reference):
    assert problem(written(tmp_path, {**LDAP, "password": reference})).startswith("transfer.directory.password: ")


def test_a_setting_is_read_by_its_own_name_alone(tmp_path):
    scim = {**REST, "kind": "scim", "schema_urn": "urn:example:person"}

    assert problem(written(tmp_path, scim)).startswith(
        "transfer.idm.schema_urn: is not a setting; did you mean schema?"
    )


def test_a_secret_of_a_transfer_stands_there_by_reference_alone(tmp_path):
    told = problem(written(tmp_path, {**REST, "token": "the-secret-itself"}))

    assert told.startswith("transfer.idm.token: must be a reference")
    assert "the-secret-itself" not in told


def test_no_two_transfers_of_an_organisation_have_the_same_name(tmp_path):
    told = problem(written(tmp_path, REST, {**FILE, "name": "idm"}))

    assert told == "transfer: has two with the same name; give each its own name"


def test_two_organisations_may_have_transfers_of_the_same_name(tmp_path):
    amk = {"entity_ids": "https://idp.amk.example/idp", "credential": None, "transfer": [FILE]}
    path = write_configuration(tmp_path, organisations={"yliopisto": {"transfer": [FILE]}, "amk": amk})

    assert [list(each) for each in read(path).transfers.values()] == [["nightly"], ["nightly"]]


@pytest.mark.parametrize("transfer", [REST, "idm", ["idm"]])
def test_a_transfer_stands_in_two_brackets(tmp_path, transfer):
    told = problem(write_configuration(tmp_path, organisations={"yliopisto": {"transfer": transfer}}))

    assert "[[transfer]]" in told


def test_a_misspelt_table_is_found(tmp_path):
    told = problem(write_configuration(tmp_path, organisations={"yliopisto": {"transfers": [REST]}}))

    assert told == "transfers: is not a setting; did you mean [[transfer]]?"


def test_all_problems_of_all_transfers_are_reported_together(tmp_path):
    path = written(tmp_path, {**REST, "url": 3, "kidn": "x"}, {**FILE, "mode": "x"}, keep="everything")

    with pytest.raises(Misconfigured) as caught:
        read(path)

    assert [one.key for one in caught.value.problems] == [
        "keep",
        "transfer.idm.url",
        "transfer.idm.kidn",
        "transfer.nightly",
    ]


# What is kept


def test_nothing_is_kept_of_who_is_only_sent_to(tmp_path):
    config = read(written(tmp_path, FILE, keep="nothing", credential=None))

    assert config.organisation_settings[UNIVERSITY].keep is Keep.NOTHING


def test_who_keeps_nothing_must_be_sent_to(tmp_path):
    told = problem(write_configuration(tmp_path, organisations={"yliopisto": {"keep": "nothing", "credential": None}}))

    assert told.startswith('keep: is "nothing" and there is no transfer')


def test_who_keeps_nothing_has_nothing_to_be_asked_for(tmp_path):
    told = problem(written(tmp_path, FILE, keep="nothing"))

    assert told.endswith('remove each [[credential]], or write keep = "links"')


@pytest.mark.parametrize("setting", [{"deprecated": "replace"}, {"inactive": "suspend"}], ids=str)
def test_who_keeps_nothing_has_no_link_to_replace_or_suspend(tmp_path, setting):
    told = problem(written(tmp_path, FILE, keep="nothing", credential=None, **setting))

    assert told.endswith('while keep = "nothing", so there is no link to apply it to; remove it')


def test_what_becomes_of_a_merged_or_locked_id_is_the_organisations_to_say(tmp_path):
    config = read(written(tmp_path, FILE, deprecated="replace", inactive="suspend"))

    status_round = make_status_round(config, store=None)
    assert status_round.policies[UNIVERSITY] == RecordPolicy(
        replace_deprecated=True, suspend_inactive=True, transfers=(FILE["name"],)
    )


@pytest.mark.parametrize(
    ("base_url", "public_api"),
    [
        ("", "https://pub.sandbox.orcid.org/v3.0"),
        ("https://sandbox.orcid.org", "https://pub.sandbox.orcid.org/v3.0"),
        ("https://simulator.example/orcid", "https://simulator.example/orcid/pub/v3.0"),
    ],
)
def test_the_public_api_is_that_of_the_registry_or_of_the_simulator(tmp_path, base_url, public_api):
    config = read(write_configuration(tmp_path, orcid={"base_url": base_url, "status_check_days": 30}))

    assert config.orcid.public_api_url == public_api


@pytest.mark.parametrize("kind", TRANSFERS.values(), ids=TRANSFERS)
def test_every_example_of_a_kind_is_one_that_can_be_written(kind, tmp_path):
    for setting in describe_kind(kind).walk():
        table = {"name": "idm", "kind": kind.kind, setting.name: setting.example}
        with pytest.raises(Misconfigured) as caught:
            read(written(tmp_path, table, credential=None, nothing=1))
        assert f"transfer.idm.{setting.name}" not in {
            one.key for one in caught.value.problems if "does not exist" not in one.text
        }


def test_an_interface_has_a_name_in_each_language_or_none(tmp_path):
    labelled = {**REST, "label": {"en": "Staff register", "fi": "Henkilörekisteri"}}

    config = read(written(tmp_path, labelled, FILE))

    assert config.organisation_settings[UNIVERSITY].transfer_labels == {"idm": labelled["label"], "nightly": {}}
    assert config.transfers[UNIVERSITY]["idm"] == RestTransfer(url=REST["url"], token=SECRET)


# Affiliations on ORCID records

RECORDS = {
    "name": "records",
    "kind": "orcid",
    "organisation": "Example University",
    "city": "Helsinki",
    "country": "FI",
    "ror": "https://ror.org/040af2s02",
}


def written_records(directory, *transfers, client=True, scopes=("/activities/update",), **settings):
    """Write a configuration of an organisation with a client of its own."""
    own = {"client_id": "APP-1B2C3D4E5F6G7H8J", "client_secret": "file:secrets/own", "scopes": list(scopes)}
    organisation = {"transfer": list(transfers), **({"orcid": own} if client else {}), **settings}
    return write_configuration(
        directory,
        organisations={"yliopisto": organisation},
        orcid={"token_keys": ["file:secrets/key"]},
        secrets={"idm": SECRET, "own": SECRET, "key": "b" * 43 + "="},
    )


def test_the_transfer_to_records_has_a_good_default_for_all_that_may_be_left_out(tmp_path):
    settings = read(written_records(tmp_path, RECORDS)).organisation_settings[UNIVERSITY]

    name, transfer = settings.affiliation_transfer
    assert (name, settings.idm_transfers) == ("records", ())
    assert (transfer.employment, transfer.education) == (("faculty", "staff", "employee"), ("student",))
    assert (transfer.department, transfer.title, transfer.end) == ("", "", "date")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ror": "040af2s02"}, "whole address"),
        ({"ror": "https://ror.org/040af2s03"}, "whole address"),
        ({"ror": "http://ror.org/040af2s02"}, "whole address"),
        ({"ror": "https://ror.org/040AF2S02"}, "whole address"),
        ({"country": "fi"}, "ISO 3166-1"),
        ({"country": "UK"}, "ISO 3166-1"),
        ({"city": " "}, "visible"),
        ({"city": "Hel\nsinki"}, "visible"),
        ({"organisation": "x" * 201}, "visible"),
        ({"employment": ["professor"]}, "eduPersonAffiliation"),
        ({"employment": [], "education": []}, "nothing would be written"),
        ({"education": ["staff"]}, "in common"),
        ({"department": "departmentNumber"}, "attributes of the sign-in"),
        ({"end": "never"}, "date"),
        ({"ror": None}, "ror"),
    ],
)
def test_what_orcid_would_refuse_is_refused_by_the_configuration(tmp_path, changes, words):
    changed = {name: value for name, value in {**RECORDS, **changes}.items() if value is not None}

    assert words in problem(written_records(tmp_path, changed))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"client": False}, "no [orcid]"),
        ({"scopes": ["/read-limited"]}, "lack /activities/update"),
        ({"keep": "nothing"}, "has to know later what it wrote"),
    ],
)
def test_a_transfer_to_records_needs_what_it_writes_with(tmp_path, settings, words):
    assert words in problem(written_records(tmp_path, RECORDS, **settings))


def test_two_transfers_to_records_are_refused(tmp_path):
    assert "write the same twice" in problem(written_records(tmp_path, RECORDS, {**RECORDS, "name": "again"}))


@pytest.mark.parametrize("ror", ["04m8m1253", "05dxps055", "00dr28g20", "02e8hzf44"])
def test_ror_ids_of_real_organisations_are_accepted(tmp_path, ror):
    assert read(written_records(tmp_path, {**RECORDS, "ror": f"https://ror.org/{ror}"}))
