"""What the templates do to a value on its way to a page."""

import pytest

from webapp.templating import breaking


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("https://idp.example/idp/shibboleth", "https://idp.example/<wbr>idp/<wbr>shibboleth"),
        ("https://idp.example/", "https://idp.example/"),
        ("maija@yliopisto.example", "maija@yliopisto.example"),
        ("<b>no</b> such entry", "&lt;b&gt;no&lt;/b&gt; such entry"),
        ("https://x/<b>/y", "https://x/<wbr>&lt;b&gt;/<wbr>y"),
    ],
)
def test_a_long_address_goes_on_in_the_next_line_after_a_slash_and_stays_text(address, written):
    assert breaking(address) == written
