"""What the templates do to a value on its way to a page."""

import pytest

from webapp.templating import breaking, whole


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


@pytest.mark.parametrize(
    ("when", "written"),
    [
        ("15 January 2026, 12:00 UTC", "15\xa0January\xa02026, 12:00\xa0UTC"),
        ("15. tammikuuta 2026, 12.00 UTC", "15.\xa0tammikuuta\xa02026, 12.00\xa0UTC"),
        ("15.1.2026", "15.1.2026"),
    ],
)
def test_a_day_stays_on_one_line_and_so_does_a_time(when, written):
    assert whole(when) == written
