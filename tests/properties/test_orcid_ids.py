"""What must hold for all iDs."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from tests.support.factories import make_orcid_id

ids = st.builds(make_orcid_id, st.integers(0, 10**15 - 1), st.sampled_from(Registry))


@given(ids)
def test_every_id_survives_print_and_parse(orcid_id):
    forms = [orcid_id.uri, orcid_id.uri.replace("https", "http"), orcid_id.uri + "/", orcid_id.uri.lower()]

    assert {OrcidId.parse(form) for form in forms} == {orcid_id}
    assert OrcidId.parse(orcid_id.bare, bare_means=orcid_id.registry) == orcid_id


@given(ids, st.integers(0, 15), st.sampled_from("0123456789X"))
def test_every_change_of_one_character_is_caught(orcid_id, place, other):
    digits = list(orcid_id.bare.replace("-", ""))
    assume(digits[place] != other)
    digits[place] = other

    with pytest.raises(InvalidOrcidId):
        OrcidId.parse("".join(digits), bare_means=orcid_id.registry)


@given(ids, st.integers(0, 14))
def test_every_swap_of_neighbours_is_caught(orcid_id, place):
    digits = list(orcid_id.bare.replace("-", ""))
    assume(digits[place] != digits[place + 1])
    digits[place], digits[place + 1] = digits[place + 1], digits[place]

    with pytest.raises(InvalidOrcidId):
        OrcidId.parse("".join(digits), bare_means=orcid_id.registry)


@given(st.text())
def test_any_text_is_an_id_or_refused(text):
    try:
        OrcidId.parse(text, bare_means=Registry.PRODUCTION)
    except InvalidOrcidId as refused:
        assert refused.text == text
