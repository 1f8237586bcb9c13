import pytest

from shibboleth.organisation import OrganisationMisconfigured, Organisations, UnknownOrganisation
from tests.support.factories import POLYTECHNIC, POLYTECHNIC_IDP, UNIVERSITY_IDP, make_organisation

BOTH = Organisations.of([make_organisation(), make_organisation(POLYTECHNIC)])


def test_an_organisation_is_found_by_exactly_its_entity_id():
    assert BOTH.by_entity_id(UNIVERSITY_IDP).entity_ids == (UNIVERSITY_IDP,)


def test_an_organisation_is_found_by_each_of_its_current_entity_ids_and_by_no_former_one():
    second, former = "https://login.yliopisto.example/idp", "https://old.yliopisto.example/idp"
    register = Organisations.of([make_organisation(entity_ids=(UNIVERSITY_IDP, second), former_entity_ids=(former,))])

    assert register.by_entity_id(UNIVERSITY_IDP) is register.by_entity_id(second) is register.by_id("yliopisto")
    with pytest.raises(UnknownOrganisation):
        register.by_entity_id(former)


@pytest.mark.parametrize(
    "near", [UNIVERSITY_IDP + "/", UNIVERSITY_IDP.upper(), UNIVERSITY_IDP[:-1], "", f" {UNIVERSITY_IDP}"]
)
def test_an_entity_id_that_is_nearly_right_is_unknown(near):
    with pytest.raises(UnknownOrganisation) as unknown:
        BOTH.by_entity_id(near)

    assert unknown.value.name == near


def test_the_command_line_finds_it_by_its_short_name():
    assert BOTH.by_id("amk").scopes == {"amk.example"}
    with pytest.raises(UnknownOrganisation):
        BOTH.by_id("lukio")


def test_a_scope_is_the_organisations_in_any_letter_case():
    assert make_organisation().has_scope("Yliopisto.Example")
    assert not make_organisation().has_scope("sub.yliopisto.example")


def test_only_ascii_letters_of_a_scope_have_two_cases():
    assert not make_organisation(scopes=frozenset({"kauppa.example"})).has_scope("\N{KELVIN SIGN}auppa.example")


def test_a_name_that_is_not_told_in_a_language_is_told_in_english():
    only_english = make_organisation(names={"en": "University"})

    assert only_english.name("fi") == "University"


def test_the_register_can_be_counted():
    assert (len(BOTH), len(list(BOTH)), len(Organisations())) == (2, 2, 0)


def test_an_organisation_whose_settings_are_invalid_is_told_from_an_unknown_one():
    register = Organisations.of([make_organisation()], {"saimaa": (POLYTECHNIC_IDP,)})

    for look_up, name in ((register.by_id, "saimaa"), (register.by_entity_id, POLYTECHNIC_IDP)):
        with pytest.raises(OrganisationMisconfigured):
            look_up(name)
    for look_up in (register.by_id, register.by_entity_id):
        with pytest.raises(UnknownOrganisation):
            look_up("elsewhere")
