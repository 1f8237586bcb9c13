"""Inspect a page in a browser: axe-core, measurements, and the accessibility tree."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.gallery.layouts import STYLED_BY

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules of axe-core that look at colours: costly, and the same whatever the language."""
NARROW = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False}
"""A phone; also 1280 pixels at 400 % (WCAG 1.4.10)."""

CONTROLS = {
    "button",
    "checkbox",
    "combobox",
    "DisclosureTriangle",
    "link",
    "radio",
    "searchbox",
    "spinbutton",
    "textbox",
}

FIRST_PAGE = 30_000
"""Maximum size of the landing page with all its resources, in bytes."""

PAINTED = """
    const [done] = arguments;
    new PerformanceObserver(seen => seen.getEntriesByName("first-contentful-paint")
        .forEach(each => done(each.startTime))).observe({type: "paint", buffered: true});
"""
BROUGHT = """
    return [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .reduce((sum, each) => sum + each.decodedBodySize, 0);
"""
NEW_KINDS = """
    const [attributes, seen] = arguments, known = new Set(seen), added = [];
    const walk = (each, ancestors) => {
        const kind = [ancestors, each.localName, ...attributes.map(name => each.getAttribute(name) ?? "")].join(" ");
        if (!known.has(kind)) {
            known.add(kind);
            added.push(kind);
            each.setAttribute("data-new-kind", "");
        }
        for (const child of each.children) walk(child, kind + ">");
    };
    walk(document.body, "");
    return added;
"""
"""Mark elements of a new kind; a kind is what the style sheet looks at, of the element and all that it is in."""
AXE = """
    const [within, only, rules, done] = arguments;
    const told = each => `${each.id}: ${each.help}: ` + each.nodes.map(node => node.html.slice(0, 160)).join(" | ");
    axe.run(within ?? document, {
        runOnly: only, rules,
        resultTypes: ["violations"], selectors: false, iframes: false, preload: false,
    }).then(found => done(found.violations.map(told)), error => done(["axe failed: " + error]));
"""
MEASURE = """
    const wide = () => document.scrollingElement.scrollWidth > document.documentElement.clientWidth
        ? [`${document.scrollingElement.scrollWidth} pixels`] : [];
    // A table may be wider where it can be scrolled, by keyboard too
    const scrolls = each => ["auto", "scroll"].includes(getComputedStyle(each).overflowX) && each.tabIndex === 0;
    const open = each => getComputedStyle(each).overflowX === "visible" || scrolls(each);
    document.querySelectorAll("details").forEach(each => each.open = true);
    const clipped = () => [...document.querySelectorAll("body *:not(.hidden, input, textarea, svg, svg *)")]
        .filter(each => !open(each) && each.scrollWidth > each.clientWidth + 1)
        .map(each => each.outerHTML.slice(0, 120));
    const plain = [...wide(), ...clipped()];
    const spaced = new CSSStyleSheet();
    spaced.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
        word-spacing: .16em !important; } p { margin-bottom: 2em !important; }`);
    document.adoptedStyleSheets = [spaced];
    const roomy = [...wide(), ...clipped()];
    document.adoptedStyleSheets = [];
    // What is a link, a button, a warning or the place where one is has to be seen without colours too
    const style = each => getComputedStyle(each), edge = each => parseFloat(style(each).borderLeftWidth) >= 1;
    const ruled = each => parseFloat(style(each).borderBottomWidth) >= 1;
    const lined = each => style(each).textDecorationLine.includes("underline") || ruled(each);
    const shapes = {
        "main a": lined,
        "button, .button, input, select, textarea": edge,
        ".alert, .unwell": each => edge(each) && each.innerText.trim() !== "",
        "[aria-current]": each => style(each).fontWeight >= 600,
    };
    const colourless = Object.entries(shapes).flatMap(([kind, shown]) => [...document.querySelectorAll(kind)]
        .filter(each => each.type !== "checkbox" && each.type !== "hidden" && !shown(each))
        .map(each => each.outerHTML.slice(0, 120)));
    return {
        plain, roomy, colourless,
        language: document.documentElement.lang,
        title: document.title,
        headings: [...document.querySelectorAll("h1, h2, h3, h4")].map(each => Number(each.tagName[1])),
        scripts: [...document.querySelectorAll("script, style, [style]")].map(each => each.outerHTML.slice(0, 120)),
        requests: performance.getEntriesByType("resource").map(each => each.name),
    };
"""


@dataclass(frozen=True, slots=True)
class PageReport:
    """Results of inspecting one page."""

    axe: list
    """Violations that axe-core finds, without those of colours."""
    measured: dict
    colours: list
    """What axe-core finds wrong with the colours in the light and the dark scheme."""
    tree: list
    """What a screen reader is told: role and name of each thing on the page."""

    @property
    def controls(self):
        """Role and name of every control."""
        return [(role, name) for role, name in self.tree if role in CONTROLS]

    def names_of(self, role):
        """Return the names of all nodes with a role."""
        return [name for each, name in self.tree if each == role]


@cache
def axe_core():
    """Return the source of axe-core."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found, "axe-core is not installed; make .venv/test installs it"
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


class PageInspector:
    """A browser that inspects pages."""

    def __init__(self, browser):
        self.driver = browser.driver
        self.cdp = self.driver.execute_cdp_cmd
        self.cdp("Emulation.setScrollbarsHidden", {"hidden": True})
        self.set_viewport(**NARROW)
        self.cdp("Page.enable", {})

    def set_viewport(self, **size):
        """Set the size of the window."""
        self.cdp("Emulation.setDeviceMetricsOverride", {**NARROW, **size})

    def set_media_features(self, **features):
        """Emulate media features; `prefers_color_scheme="dark"`."""
        known = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", {"features": known})

    def inspect(self, address, *, axe=True, kinds=None):
        """Return everything about a page; without axe-core, no violations.

        `kinds` are the kinds of elements whose colours have been inspected, which those of this page are added to;
        without it, no colours are inspected.
        """
        self.driver.get(address)
        measured = self.driver.execute_script(MEASURE)
        if axe or kinds is not None:
            self.driver.execute_script(axe_core())
        rules = {name: {"enabled": False} for name in COLOUR_RULES} | {"target-size": {"enabled": True}}
        found = self._run_axe({"type": "tag", "values": TAGS}, rules) if axe else []
        tree = self.accessibility_tree()
        return PageReport(found, measured, [] if kinds is None else self._inspect_colours(kinds), tree)

    def _inspect_colours(self, kinds):
        added = self.driver.execute_script(NEW_KINDS, STYLED_BY, list(kinds))
        kinds.update(added)
        found = []
        for scheme in ("light", "dark") if added else ():
            self.set_media_features(prefers_color_scheme=scheme)
            wrong = self._run_axe({"type": "rule", "values": COLOUR_RULES}, {}, within="[data-new-kind]")
            found += [f"{scheme}: {each}" for each in wrong]
        self.set_media_features()
        return found

    def first_paint_ms(self, address, times=9):
        """Return the median of some first contentful paints, in milliseconds."""
        self.set_viewport(width=1280, height=800)
        return sorted(self._paints(address) for _ in range(times))[times // 2]

    def _paints(self, address):
        self.driver.get(address)
        return self.driver.execute_async_script(PAINTED)

    def page_weight(self, address):
        """Return the size of a page with all its resources, uncompressed, in bytes."""
        self.driver.get(address)
        return self.driver.execute_script(BROUGHT)

    def _run_axe(self, only, rules, within=None):
        return self.driver.execute_async_script(AXE, within, only, rules)

    def accessibility_tree(self):
        """Return role and name of each node of the accessibility tree, in reading order."""
        nodes = self.cdp("Accessibility.getFullAXTree", {})["nodes"]
        by_id, ordered = {node["nodeId"]: node for node in nodes}, []
        waiting = [nodes[0]["nodeId"]]
        while waiting:
            node = by_id[waiting.pop()]
            ordered.append(node)
            waiting += [each for each in reversed(node.get("childIds", ())) if each in by_id]
        found = [_role_and_name(node) for node in ordered if not node.get("ignored")]
        # A line of a text is no name: "linking-closed" in a narrow column has a line "closed"
        return [(role, name) for role, name in found if role != "InlineTextBox"]


def _role_and_name(node):
    return node["role"]["value"], node.get("name", {}).get("value", "").strip()
