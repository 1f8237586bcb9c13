"""`orcid-connect check --organisation`: one organisation, from its metadata to the release."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from shibboleth.orcid_id import Registry
from sql.records import CredentialRight, ReleaseState
from sql.store import open_store
from tests.support.configuration import write, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY, UNIVERSITY_IDP, make_link, make_orcid_id
from tests.support.federation_metadata import EARLIER, federation, idp, key_pair, sign
from webapp.cli.context import utc_now
from webapp.cli.main import main
from webapp.config.loader import load

SCOPES = ("yliopisto.example",)


@pytest.fixture
def path(tmp_path):
    certificate = write(tmp_path / "federation.pem", key_pair("federation")[1])
    return write_configuration(
        tmp_path,
        store={"url": make_sqlite(tmp_path)},
        service_provider={"metadata_certificate": str(certificate)},
        organisations={
            UNIVERSITY: {"transfer": [{"name": "idm", "kind": "file", "directory": "/tmp"}]},
            "amk": {"entity_ids": ["https://idp.amk.example/idp"], "scopes": ["amk.example"], "credential": []},
        },
    )


@pytest.fixture
def store(path):
    store = open_store(f"sqlite://{path.parent}/links.db")
    yield store
    store.close()


def check(path, *entities, name=UNIVERSITY, **other):
    """Return the exit code, and level and fix of each line, by subject; the last of a subject counts."""
    source = path.parent / "metadata.xml"
    source.write_bytes(sign(federation(*(entities or (idp(UNIVERSITY_IDP, scopes=SCOPES),)), **other)))
    words = ["--config", str(path), "check", "--organisation", name, "--metadata", str(source), "--json"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    return done.exit_code, {each["subject"]: each for each in json.loads(done.output)["results"]}


def test_a_new_organisation_is_told_each_next_step(path):
    code, found = check(path)

    assert code == 0
    assert {subject: each["level"] for subject, each in found.items()} == {
        "metadata": "ok",
        "sign-in": "warning",
        "transfer": "ok",
        "look-up": "warning",
        "release": "warning",
    }
    assert all(each["fix"] for each in found.values() if each["level"] != "ok")


def test_a_working_organisation_is_well_in_each_step(path, store):
    now = utc_now()
    store.organisations.record_sign_in(UNIVERSITY, UNIVERSITY_IDP, now)
    make_link(store, "maija@yliopisto.example", make_orcid_id(1, Registry.SANDBOX), now=now - timedelta(hours=9))
    for credential in load(path, {}).organisation_settings[UNIVERSITY].credentials:
        right = CredentialRight(UNIVERSITY, credential.name, credential.rights[0])
        store.statistics.register_credential_rights([right], now.date())
        store.statistics.record_credential_use(right, now.date())
    before = check(path)[1]
    assert (before["release"]["level"], "signed in again" in before["release"]["text"]) == ("warning", True)
    current = store.links.get(UNIVERSITY, "maija@yliopisto.example")
    store.releases.record(current, ReleaseState.SEEN, now)

    code, found = check(path)

    assert code == 0
    assert {subject: each["level"] for subject, each in found.items() if subject != "transfer"} == {
        "metadata": "ok",
        "sign-in": "ok",
        "attributes": "info",
        "look-up": "ok",
        "release": "ok",
    }
    assert found["release"]["details"]["seen"] == 1


@pytest.mark.parametrize(
    ("entity", "level", "part"),
    [
        (idp("https://other.example/idp"), "error", "no entity"),
        (idp(UNIVERSITY_IDP, role="SPSSODescriptor"), "error", "not an Identity Provider"),
        (idp(UNIVERSITY_IDP, valid_until=EARLIER), "error", "expired"),
        (idp(UNIVERSITY_IDP, scopes=("other.example",)), "warning", "does not have the scopes yliopisto.example"),
        (idp(UNIVERSITY_IDP, scopes=(), patterns=(".*",)), "warning", "unless a pattern has: .*"),
        (idp(UNIVERSITY_IDP, scopes=(*SCOPES, "more.example")), "info", "does not have the scopes more.example"),
    ],
    ids=["gone", "a service", "expired", "without the scope", "with a pattern", "with more scopes"],
)
def test_metadata_that_differs_is_explained(path, entity, level, part):
    code, found = check(path, entity)

    assert (code, found["metadata"]["level"]) == (int(level == "error"), level)
    assert part in found["metadata"]["text"]


def test_another_organisation_is_not_checked(path):
    _, found = check(path, idp("https://idp.amk.example/idp", scopes=("amk.example",)), name="amk")

    assert found["look-up"]["level"] == "error"
    assert not [each for each in found.values() if UNIVERSITY in each["text"]]


def test_sign_ins_that_were_refused_lately_are_counted_by_their_reason(path, store):
    today = utc_now().date()
    for day, code in (
        (0, "missing-attribute"),
        (29, "missing-attribute"),
        (1, "foreign-scope"),
        (31, "several-values"),
    ):
        store.statistics.count_refused_sign_in(UNIVERSITY, code, today - timedelta(days=day))

    found = check(path)[1]["refused"]

    assert found["level"] == "warning"
    assert found["text"] == f"{UNIVERSITY}, refused sign-ins in 30 days: foreign-scope 1, missing-attribute 2"


def test_sign_ins_that_the_state_excludes_are_named_without_a_warning(path, store):
    store.statistics.count_refused_sign_in(UNIVERSITY, "not-admitted", utc_now().date())
    found = check(path)[1]["refused"]

    assert (found["level"], "not-admitted 1" in found["text"]) == ("info", True)
    store.statistics.count_refused_sign_in(UNIVERSITY, "foreign-scope", utc_now().date())
    assert check(path)[1]["refused"]["level"] == "warning"


def test_a_stable_id_that_no_sign_in_brought_is_asked_for(path, store):
    file = path.parent / "organisations" / f"{UNIVERSITY}.toml"
    file.write_text(f'stable_id = "subject-id"\n{file.read_text("utf-8")}', "utf-8")
    make_link(store, "maija@yliopisto.example", make_orcid_id(1, Registry.SANDBOX))

    assert check(path)[1]["attributes"]["level"] == "warning"
    other = "ake@yliopisto.example"
    make_link(store, other, make_orcid_id(2, Registry.SANDBOX), stable_id=f"subject-id:{other}")
    assert check(path)[1]["attributes"]["level"] == "info"


def test_an_organisation_whose_links_are_not_kept_has_no_look_up_and_no_release(path):
    file = path.parent / "organisations" / f"{UNIVERSITY}.toml"
    text = file.read_text("utf-8")
    begin = text.index("[[credential]]")
    file.write_text('keep = "nothing"\n' + text[:begin] + text[text.index("[[transfer]]") :], "utf-8")

    _, found = check(path)

    assert "look-up" not in found
    assert found["release"]["level"] == "info"


def test_without_metadata_the_rest_is_checked(path):
    done = CliRunner().invoke(main, ["--config", str(path), "check", "--organisation", UNIVERSITY])

    assert done.exit_code == 0
    assert "info     metadata       the federation's metadata was not read" in done.output


def test_a_database_that_is_behind_is_an_error(path):
    (path.parent / "links.db").unlink()

    code, found = check(path)

    assert (code, found["store"]["level"]) == (1, "error")
