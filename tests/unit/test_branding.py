"""Colours can be read, a logo is a picture, and both come with the one style sheet."""

import re
from datetime import UTC
from pathlib import Path

import pytest

import webapp
from tests.support.configuration import write_configuration
from webapp.config.branding import MAX_LOGO_BYTES
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.rendering.branding import (
    DARK_BACKGROUNDS,
    LIGHT_BACKGROUNDS,
    MIN_CONTRAST,
    PLAIN,
    Branding,
    Logo,
    contrast,
    lowest_contrast,
    readable,
    text_colour_for,
)
from webapp.rendering.static import StaticFiles

SHEET = (Path(webapp.__file__).parent / "static" / "style.css").read_text()
PNG = b"\x89PNG\r\n\x1a\n and the rest"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9"/></svg>'


def schemes():
    """The colours of the style sheet, in the light and in the dark scheme."""
    blocks = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks[:2]]


# Contrast


def test_contrast_is_that_of_wcag():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == pytest.approx(1)


def test_the_grounds_are_those_of_the_style_sheet():
    light, dark = schemes()

    assert (light["ground"], light["paper"]) == LIGHT_BACKGROUNDS
    assert (dark["ground"], dark["paper"]) == DARK_BACKGROUNDS


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_in_the_style_sheet_can_be_read(scheme):
    colours = schemes()[scheme]
    backgrounds = (colours["ground"], colours["paper"])

    for name in ("ink", "quiet", "link", "danger"):
        assert lowest_contrast(colours[name], backgrounds)[0] >= MIN_CONTRAST, name
    for ground in ("note", "alert"):
        assert min(contrast(colours[ink], colours[ground]) for ink in ("ink", "link")) >= MIN_CONTRAST, ground
    assert contrast(colours["on-act"], colours["act"]) >= MIN_CONTRAST
    for name in ("edge", "focus", "act", "note-line", "alert-line"):
        assert lowest_contrast(colours[name], backgrounds)[0] >= 3, name


@pytest.mark.parametrize("colour", ["#66ccff", "#ffff00", "#ffffff", "#000000", "#003366", "#7f7f7f"])
@pytest.mark.parametrize("backgrounds", [LIGHT_BACKGROUNDS, DARK_BACKGROUNDS])
def test_a_readable_colour_near_it_is_found_for_every_colour(colour, backgrounds):
    assert lowest_contrast(readable(colour, backgrounds), backgrounds)[0] >= MIN_CONTRAST


@pytest.mark.parametrize("colour", ["#000000", "#777777", "#ffffff", "#ff0000", "#00ff00", "#0000ff"])
def test_on_every_colour_there_is_an_ink_that_can_be_read(colour):
    assert contrast(text_colour_for(colour), colour) >= 4.2


# The style sheet


def test_who_says_nothing_gets_the_sheet_as_it_is():
    assert PLAIN.style == ""
    assert StaticFiles.read().names == StaticFiles.read(PLAIN).names


def test_colours_join_the_sheet_each_in_its_scheme_and_change_its_name():
    look = Branding(accent="#aa0000", head_dark="#001122")

    static = StaticFiles.read(look)

    (sheet,) = [static.bodies[name] for file, name in static.names.items() if file == "style.css"]
    light, dark = sheet.decode().splitlines()[-2:]
    assert light == (
        "@media screen and (prefers-color-scheme: light) "
        "{ :root { --link: #aa0000; --act: #aa0000; --on-act: #ffffff; } }"
    )
    assert dark == (
        "@media screen and (prefers-color-scheme: dark) { :root { --head: #001122; --head-ink: #ffffff; } }"
    )
    assert static.names["style.css"] != StaticFiles.read().names["style.css"]


def test_a_logo_is_one_of_the_pictures():
    static = StaticFiles.read(Branding(logo=Logo("logo.png", PNG)))

    given = static.response(static.address("logo.png").removeprefix("/static/"))

    assert (given.body, given.content_type) == (PNG, "image/png")


# The configuration


def configured(tmp_path, **look):
    """Read a configuration with this look."""
    config = load(write_configuration(tmp_path, branding=look), {})
    return config.branding.branding(tmp_path), config.branding.zone


def refused(tmp_path, **look):
    """Give what is wrong with a look."""
    with pytest.raises(Misconfigured) as caught:
        load(write_configuration(tmp_path, branding=look), {})
    (one,) = caught.value.problems
    return one.key, one.text, one.fix


def test_nothing_has_to_be_said(tmp_path):
    assert configured(tmp_path) == (PLAIN, UTC)


def test_colours_and_a_clock_are_read(tmp_path):
    look, zone = configured(tmp_path, accent="#AA0000", accent_dark="#ffaaaa", time_zone="Europe/Helsinki")

    assert (look.accent, look.accent_dark) == ("#aa0000", "#ffaaaa")
    assert str(zone) == "Europe/Helsinki"


@pytest.mark.parametrize(
    ("setting", "value"), [("accent", "#66ccff"), ("accent", "#ffffff"), ("accent_dark", "#003366")]
)
def test_a_colour_that_cannot_be_read_is_refused_and_one_that_can_is_named(tmp_path, setting, value):
    key, text, mend = refused(tmp_path, **{setting: value})

    assert key == f"branding.{setting}"
    assert "WCAG 2.2 AA asks for 4.5" in text
    found = re.search(r"#[0-9a-f]{6}", mend)[0]
    assert configured(tmp_path, **{setting: found})


@pytest.mark.parametrize("value", ["red", "#123", "#12345g", "", "rgb(0,0,0)", "#123456; } body { x: y"])
def test_what_is_no_colour_is_refused(tmp_path, value):
    assert refused(tmp_path, header=value)[1] == "is not a colour"


@pytest.mark.parametrize(("name", "body"), [("logo.svg", SVG), ("logo.png", PNG)])
def test_a_logo_is_read_beside_the_configuration_and_known_by_what_is_in_it(tmp_path, name, body):
    (tmp_path / "our-logo").write_bytes(body)

    look, _ = configured(tmp_path, logo="our-logo")

    assert look.logo == Logo(name, body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"GIF89a", "is neither a PNG nor an SVG picture"),
        (b"\xff\xfe\x00", "is neither a PNG nor an SVG picture"),
        (b"", "is neither a PNG nor an SVG picture"),
        (b"<html/>", "is XML, and not an SVG picture"),
        (SVG.replace(b"<path", b"<script/><path"), "has a script in it, or refers to another file"),
        (SVG.replace(b"<path", b"<path onclick='x'"), "has a script in it, or refers to another file"),
        (SVG.replace(b"<path", b"<image href='https://x.example/y.png'/><path"), "has a script in it, or refers to"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.partition(b"?>")[2], "is neither a PNG nor an SVG picture"),
        (PNG + b"x" * MAX_LOGO_BYTES, f"has {len(PNG) + MAX_LOGO_BYTES} bytes, more than {MAX_LOGO_BYTES}"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(tmp_path, body, text):
    if body is not None:
        (tmp_path / "logo").write_bytes(body)

    assert refused(tmp_path, logo="logo")[1].startswith(text)


@pytest.mark.parametrize("zone", ["Helsinki", "../etc/passwd", "EET+2", ""])
def test_what_is_no_time_zone_is_refused(tmp_path, zone):
    assert refused(tmp_path, time_zone=zone)[0] == "branding.time_zone"
