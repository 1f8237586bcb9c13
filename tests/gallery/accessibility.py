"""Measure a page without colours, motion or width, and on paper, in the browser."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from selenium.webdriver.common.keys import Keys

ZOOMED = {"width": 320, "height": 256, "deviceScaleFactor": 4}
"""A window of 1280 by 1024 pixels at 400 % (WCAG 1.4.10)."""
A4 = {"width": 794, "height": 1123}
CONTRAST = {"forced_colors": "active"}
"""What Windows' contrast themes have browsers do."""

SHAPES = """
    const style = each => getComputedStyle(each);
    const behind = each => {
        for (let one = each; one; one = one.parentElement)
            if (!/rgba\\(.*, 0\\)|transparent/.test(style(one).backgroundColor)) return style(one).backgroundColor;
        return "rgb(255, 255, 255)";
    };
    const edged = (each, side) => style(each)[`border${side}Style`] !== "none"
        && parseFloat(style(each)[`border${side}Width`]) >= 1
        && style(each)[`border${side}Color`] !== behind(each.parentElement);
    const boxed = each => ["Left", "Right", "Top", "Bottom"].every(side => edged(each, side));
    const worded = each => (each.getAttribute("aria-describedby") ?? "").split(" ")
        .some(id => document.getElementById(id)?.innerText.trim());
    const shapes = {
        "button, .button, select, textarea, .field input, .ask input:not([type=hidden])": boxed,
        ".alert, .unwell": each => edged(each, "Left") && each.innerText.trim() !== "",
        "[aria-current]": each => style(each).fontWeight >= 600,
        ".progress li": each => style(each, "::before") && getComputedStyle(each, "::before").content !== "none",
        ".progress .done": each => each.querySelector(".hidden").innerText.trim() !== "",
        ".numbers .bad": each => style(each).fontWeight >= 700,
        ".compare .old": each => style(each).borderTopStyle === "dashed",
        ".plot svg": each => style(each).fill !== behind(each),
        "[aria-invalid=true]": worded,
        "main a": each => style(each).textDecorationLine.includes("underline") || boxed(each)
            || style(each).fontWeight >= 600,
    };
    return Object.entries(shapes).flatMap(([kind, shown]) => [...document.querySelectorAll(kind)]
        .filter(each => each.checkVisibility() && !shown(each))
        .map(each => `${kind}: ${each.outerHTML.slice(0, 120)}`));
"""
"""What tells something has to be seen by its form or be said in words; what is not is given back."""

FOCUSED = """
    document.querySelectorAll("details").forEach(each => each.open = true);
    const lost = [];
    const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, "
        + "[tabindex='0']");
    for (const each of all) {
        each.focus();
        const style = getComputedStyle(each), place = each.getBoundingClientRect();
        // The beginning of what is in the window, which may be lower than a long text or a table
        const up = Math.max(place.top, 0), height = place.bottom - up;
        const point = [place.left + Math.min(place.width, 24) / 2, up + Math.min(height, 24) / 2];
        const top = document.elementFromPoint(...point);
        const told = [
            document.activeElement === each || "takes no focus",
            style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 || "has no outline",
            style.outlineColor !== getComputedStyle(document.body).backgroundColor || "has an outline that is not seen",
            top !== null && (each.contains(top) || top.contains(each)) || "is covered or out of sight",
        ].filter(one => one !== true);
        if (told.length) lost.push(`${told.join(", ")}: ${each.outerHTML.slice(0, 120)}`);
    }
    return lost;
"""
"""Whatever can have the focus shows it, and is where it can be seen; what does not is given back."""

MOVING = """
    return [...document.querySelectorAll("*")].filter(each => {
        const style = getComputedStyle(each);
        return style.animationName !== "none" || style.scrollBehavior !== "auto"
            || style.transitionDuration.split(", ").some(one => parseFloat(one) > 0);
    }).map(each => each.outerHTML.slice(0, 120));
"""

ON_PAPER = """
    const style = each => getComputedStyle(each);
    const white = each => /rgba\\(.*, 0\\)|transparent|rgb\\(255, 255, 255\\)/.test(style(each).backgroundColor);
    const dark = each => style(each).color.match(/\\d+/g).slice(0, 3).every(one => one <= 0x33);
    const seen = [...document.querySelectorAll("body *")].filter(each => each.checkVisibility());
    return {
        text: document.body.innerText,
        pressed: seen.filter(each => each.matches("button, .button, nav, details, input, .skip:focus"))
            .map(each => each.outerHTML.slice(0, 120)),
        coloured: seen.filter(each => !white(each) || !dark(each)).map(each => each.outerHTML.slice(0, 120)),
        wide: document.scrollingElement.scrollWidth,
    };
"""


@dataclass(frozen=True, slots=True)
class ModesReport:
    """Results of inspecting one page in modes of the browser."""

    animated: list
    """Animated elements, without reduced motion."""
    colour_only: list
    """What the page shows by colour alone, in forced colours."""
    invisible_focus: dict[str, list]
    """Elements whose focus is not visible at 400 %, in the service's colours and in the person's own."""


def inspect_modes(inspector, address):
    """Return the report of a page."""
    inspector.set_viewport()
    inspector.set_media_features(prefers_reduced_motion="no-preference")
    inspector.driver.get(address)
    animated = inspector.driver.execute_script(MOVING)
    inspector.set_media_features(**CONTRAST)
    colour_only = inspector.driver.execute_script(SHAPES)
    inspector.set_viewport(**ZOOMED)
    # From now on the browser knows that somebody uses the keyboard
    inspector.driver.switch_to.active_element.send_keys(Keys.TAB)
    invisible_focus = {}
    for colours, features in {"ours": {}, "the person's own": CONTRAST}.items():
        inspector.set_media_features(**features)
        invisible_focus[colours] = inspector.driver.execute_script(FOCUSED)
    inspector.set_media_features()
    return ModesReport(animated, colour_only, invisible_focus)


def print_layout(inspector, address):
    """Return measurements of the printed page, and the number of sheets."""
    inspector.driver.get(address)
    inspector.set_viewport(**A4)
    inspector.cdp("Emulation.setEmulatedMedia", {"media": "print"})
    measured = inspector.driver.execute_script(ON_PAPER)
    inspector.cdp("Emulation.setEmulatedMedia", {"media": ""})
    printed = inspector.cdp("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    return measured, len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"])))
