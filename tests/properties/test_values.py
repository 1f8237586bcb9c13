"""What a front writes, the reader reads: any script, any semicolon."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from shibboleth.person import Encoding, ShibbolethSession

WHITE = " \t\r\n"
"""XML's white space, which may stand around a value."""
texts = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1).filter(
    lambda text: text.strip(WHITE)
)


@given(st.lists(texts, max_size=4))
def test_url_encoded_values_survive(values):
    said = {"affiliation": ";".join(quote(each, safe="") for each in values)}

    assert ShibbolethSession(said, Encoding.URL).values("affiliation") == [each.strip(WHITE) for each in values]


@given(st.lists(texts, max_size=4))
def test_utf8_values_survive_but_for_backslashes(values):
    raw = ";".join(each.replace(";", "\\;") for each in values)
    said = {"affiliation": raw.encode().decode("latin-1")}

    assert ShibbolethSession(said, Encoding.UTF8).values("affiliation") == [each.strip(WHITE) for each in values]
