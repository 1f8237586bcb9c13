"""`[orcid]` in an organisation's file: its own client, and what it needs from the rest of the configuration."""

from dataclasses import replace

import pytest

from resolver_connector.orcid.scopes import PERMISSIONS, Scope
from tests.support.configuration import write_configuration
from tests.support.service import CLIENT_ID, OWN_CLIENT_ID, TOKEN_KEY
from webapp.checks.configuration import check_configuration
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.linking.orcid_client import OrcidBusy
from webapp.wiring.orcid import make_orcid_clients
from webapp.wiring.pages import orcid_client, organisation_clients

OWN = {"client_id": OWN_CLIENT_ID, "client_secret": "file:secrets/own"}
KEYS = {"token_keys": ["file:secrets/key"]}
OTHER = {"entity_ids": "https://idp.amk.example/idp", "scopes": ["amk.example"], "credential": None}


def written(directory, own, service=None, other=None, **organisation):
    organisations = {"yliopisto": {"orcid": {**OWN, **own}, **organisation}}
    organisations |= {} if other is None else {"amk": {**OTHER, "orcid": {**OWN, **other}}}
    secrets = {"own": "secret-of-yliopisto", "key": TOKEN_KEY}
    return write_configuration(
        directory, organisations=organisations, secrets=secrets, orcid=KEYS if service is None else service
    )


def problems(path):
    with pytest.raises(Misconfigured) as caught:
        load(path, {})
    return [(each.file.rpartition("/")[2], each.key, each.text) for each in caught.value.problems]


def test_an_organisation_needs_no_client_of_its_own(tmp_path):
    config = load(write_configuration(tmp_path), {})

    assert config.organisation_settings["yliopisto"].orcid is None
    assert organisation_clients(config, orcid_client(config)) == {}


def test_an_own_client_asks_for_the_id_alone_unless_it_says_more(tmp_path):
    own = load(written(tmp_path, {}, {}), {}).organisation_settings["yliopisto"].orcid

    assert (own.client_id, own.client_secret.reveal()) == (OWN_CLIENT_ID, "secret-of-yliopisto")
    assert (own.scopes, own.permissions) == ((Scope.AUTHENTICATE,), ())


def test_it_is_used_for_its_people(tmp_path):
    config = load(written(tmp_path, {"scopes": [*reversed(PERMISSIONS)]}), {})
    service = orcid_client(config)
    own = organisation_clients(config, service)["yliopisto"]

    assert config.organisation_settings["yliopisto"].orcid.permissions == PERMISSIONS
    assert (own.client_id, own.client_secret) == (OWN_CLIENT_ID, "secret-of-yliopisto")
    assert (own.base_url, own.redirect_uri, own.scope) == (service.base_url, service.redirect_uri, service.scope)
    clients = make_orcid_clients(config)
    assert clients.organisations["yliopisto"].client_id == OWN_CLIENT_ID
    assert clients.service.client_id == CLIENT_ID


def test_all_clients_together_wait_for_orcid_in_as_many_threads_as_one(tmp_path):
    config = load(written(tmp_path, {}), {})
    service = replace(orcid_client(config), max_waiting=1)
    own = organisation_clients(config, service)["yliopisto"]

    with service.acquire_slot(), pytest.raises(OrcidBusy), own.acquire_slot():
        pass


@pytest.mark.parametrize(
    ("own", "service", "key", "text"),
    [
        ({"scopes": ["/read-public"]}, KEYS, "orcid.scopes", "must be one of: /authenticate, /read-limited"),
        ({"scopes": ["openid"]}, KEYS, "orcid.scopes", "must be one of"),
        ({"scopes": []}, KEYS, "orcid.scopes", "is empty"),
        ({"scopes": ["/read-limited", "/read-limited"]}, KEYS, "orcid.scopes", "the same scope twice"),
        ({"scopes": "/read-limited"}, KEYS, "orcid.scopes", "must be a list of scopes"),
        ({"scopes": ["/read-limited"]}, {}, "orcid.scopes", "has no key for the tokens"),
        ({"client_id": CLIENT_ID}, KEYS, "orcid.client_id", "is the client id of the service"),
        ({"client_id": "yliopisto"}, KEYS, "orcid.client_id", "is not a client id of ORCID"),
        ({"client_secret": "plain"}, KEYS, "orcid.client_secret", "must be a reference"),
        ({"redirect_uri": "https://link.example"}, KEYS, "orcid.redirect_uri", "is not a setting"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, own, service, key, text):
    ((file, place, said),) = problems(written(tmp_path, own, service))

    assert (file, place.partition(" ")[0]) == ("yliopisto.toml", key)
    assert text in said


def test_a_client_belongs_to_one_organisation(tmp_path):
    assert problems(written(tmp_path, {}, other={})) == [
        ("amk.toml", "orcid.client_id", "is the same ORCID client id as in yliopisto.toml"),
        ("yliopisto.toml", "orcid.client_id", "is the same ORCID client id as in amk.toml"),
    ]


def test_what_is_not_kept_cannot_be_permitted(tmp_path):
    transfer = {"name": "idm", "kind": "file", "directory": str(tmp_path)}
    words = {"keep": "nothing", "credential": None, "transfer": [transfer]}

    assert [key for _, key, _ in problems(written(tmp_path, {"scopes": ["/person/update"]}, **words))] == ["keep"]
    assert load(written(tmp_path, {}, **words), {}).organisation_settings["yliopisto"].orcid is not None


def test_a_simulators_client_id_has_any_form(tmp_path):
    service = {"base_url": "http://127.0.0.1:9000", "client_id": "demo"}

    assert load(written(tmp_path, {"client_id": "yliopisto"}, service), {}).organisation_settings["yliopisto"].orcid


def test_check_names_the_client_and_what_it_asks_for(tmp_path):
    credential = [{"name": "cris", "rights": ["tokens"], "token": "file:secrets/yliopisto.token"}]
    config = load(written(tmp_path, {"scopes": ["/authenticate"]}, credential=credential), {})

    said = {each.text for each in check_configuration(config)}

    assert f"yliopisto has its own, {OWN_CLIENT_ID}, with the same redirect URI; it asks for the iD alone" in said
    assert any("has a credential with the right tokens, and its client asks for the iD alone" in each for each in said)
