"""How long the federation's metadata may be believed."""

from datetime import timedelta

import pytest

from shibboleth.metadata import InvalidMetadata, first_expired, read_display_names, read_metadata
from tests.support.factories import NOON

SERVICE, OTHER = "https://sp.example/shibboleth", "https://other.example/shibboleth"
SAML = 'xmlns="urn:oasis:names:tc:SAML:2.0:metadata"'
LATER, EARLIER = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
ENTITY = '<EntityDescriptor {more} entityID="{id}"><SPSSODescriptor validUntil="{role}"/></EntityDescriptor>'


@pytest.fixture
def written(tmp_path):
    """Write a file of metadata."""

    def write(text):
        path = tmp_path / "federation.xml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_metadata_tells_when_it_ends_as_a_whole_and_for_who_is_asked_about(written):
    mine = ENTITY.format(more=f'validUntil="{LATER}"', id=SERVICE, role=EARLIER)
    others = ENTITY.format(more="", id=OTHER, role=EARLIER)
    path = written(f'<EntitiesDescriptor {SAML} validUntil="{LATER}">{mine}{others}</EntitiesDescriptor>')

    found = read_metadata(path, {SERVICE, "https://nobody.example"})

    assert found.valid_until == (LATER,)
    assert found.entities == {SERVICE: (LATER, EARLIER)}


def test_metadata_may_be_of_one_entity(written):
    found = read_metadata(written(ENTITY.format(more=SAML, id=SERVICE, role=LATER)), {SERVICE})

    assert (found.valid_until, found.entities) == ((), {SERVICE: (LATER,)})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not acceptable XML"),
        ("-----BEGIN CERTIFICATE-----", "not acceptable XML"),
        (f"<EntitiesDescriptor {SAML}><EntityDescriptor>", "not acceptable XML"),
        ('<!DOCTYPE x [<!ENTITY a "a">]><x>&a;</x>', "not acceptable XML"),
        ("<EntitiesDescriptor/>", "not SAML 2.0 metadata"),
        ("<html></html>", "not SAML 2.0 metadata"),
    ],
)
def test_what_is_no_metadata_is_said(written, text, why):
    with pytest.raises(InvalidMetadata, match=why):
        read_metadata(written(text), ())


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidMetadata, match="No such file"):
        read_metadata(tmp_path / "none.xml", ())


@pytest.mark.parametrize(
    ("moment", "over"),
    [
        (None, False),
        ("", False),
        (f"{NOON:%Y-%m-%dT%H:%M:%SZ}", True),
        (f"{NOON + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}", False),
        (f"{NOON + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S.000Z}", False),
        (f"{NOON + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}", False),
        (f"{NOON + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+02:00", True),
        ("never", True),
        ("2026-11-25T99:00:00Z", True),
    ],
)
def test_a_moment_that_cannot_be_read_is_over_and_none_has_no_end(moment, over):
    assert first_expired([LATER, moment], NOON) == (moment if over else None)


NAMED = """<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
  xmlns:mdui="urn:oasis:names:tc:SAML:metadata:ui">
<md:EntityDescriptor entityID="https://other.example"><md:Organization>
  <md:OrganizationDisplayName xml:lang="en">Other</md:OrganizationDisplayName></md:Organization></md:EntityDescriptor>
<md:EntityDescriptor entityID="https://shown.example"><md:IDPSSODescriptor><md:Extensions><mdui:UIInfo>
  <mdui:DisplayName xml:lang="fi"> Toinen
   yliopisto </mdui:DisplayName><mdui:DisplayName xml:lang="sv"/></mdui:UIInfo></md:Extensions></md:IDPSSODescriptor>
</md:EntityDescriptor>
<md:EntityDescriptor entityID="https://bare.example"/>
</md:EntitiesDescriptor>"""


@pytest.mark.parametrize(
    ("text", "entity_id", "names"),
    [
        (NAMED, "https://shown.example", {"fi": "Toinen yliopisto"}),
        (NAMED, "https://other.example", {"en": "Other"}),
        (NAMED, "https://bare.example", {}),
        (NAMED, "https://nowhere.example", {}),
        ("<md:EntitiesDescriptor", "https://shown.example", {}),
    ],
)
def test_the_display_names_of_an_entity_are_those_for_users(tmp_path, text, entity_id, names):
    path = tmp_path / "metadata.xml"
    path.write_text(text, "utf-8")

    assert read_display_names(path, entity_id) == names


def test_a_metadata_file_that_is_missing_has_no_names(tmp_path):
    assert read_display_names(tmp_path / "none.xml", "https://shown.example") == {}
