import pytest

from shibboleth.handout import CannotFill, fill, placeholders


def test_each_name_gives_way_to_its_value():
    template = "ServerName @HOSTNAME@:@PORT@ # @HOSTNAME@"

    filled = fill(template, {"HOSTNAME": "connect.example.org", "PORT": "443"})

    assert filled == "ServerName connect.example.org:443 # connect.example.org"


def test_an_address_in_xml_is_escaped():
    filled = fill('<a b="@URL@"/>', {"URL": 'https://ds.example.org/?a=1&b="<2>"'})

    assert filled == '<a b="https://ds.example.org/?a=1&amp;b=&quot;&lt;2&gt;&quot;"/>'


def test_a_mail_address_is_no_placeholder():
    assert placeholders("<!-- maija@YLIOPISTO.example and a@b.example -->") == frozenset()


@pytest.mark.parametrize(
    ("template", "values", "names"),
    [
        pytest.param("@A@ @B@ @C@", {"A": "1"}, ("B", "C"), id="a name without a value"),
        pytest.param("@A@", {"A": "1", "B": "2"}, ("B",), id="a value without a name"),
        pytest.param("@A@", {"A": ""}, ("A",), id="an empty value"),
        pytest.param("@A@", {"A": "x\nRequire all granted"}, ("A",), id="a second line"),
        pytest.param("@A@", {"A": "x y"}, ("A",), id="a second word"),
        pytest.param('f("@A@")', {"A": 'x") or f("'}, ("A",), id="a quotation mark"),
        pytest.param("@A@", {"A": "${SECRET}"}, ("A",), id="a variable of Apache"),
        pytest.param("<a>@A@</a>", {"A": "x\ny"}, ("A",), id="a second line in XML"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(template, values, names):
    with pytest.raises(CannotFill) as refused:
        fill(template, values)

    assert refused.value.names == names


def test_a_value_is_never_filled_in_itself():
    assert fill("@A@ @B@", {"A": "@B@", "B": "b"}) == "@B@ b"
