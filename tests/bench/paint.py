"""`python -m tests.bench.paint`: when something of the first page is to be seen, and what all of it weighs."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import Figure, at_most
from tests.bench.sites import SQLITE, Ground
from tests.bench.telling import Tell, alone
from tests.browser import browsing
from tests.gallery.looking import FIRST_PAGE, FIRST_PAINT, Looker
from webapp.language import languages

KILO = 1000


def measure(here: Ground, tell: Tell) -> list[Figure]:
    """Have a browser open the first page of a service that runs, in each language."""
    with here.site(SQLITE).web() as web, browsing() as browser:
        looker = Looker(browser, axe=False)
        found = [(code, _seen(looker, f"http://127.0.0.1:{web.port}/?lang={code}")) for code in languages()]
    for code, (painted, weight) in found:
        tell(f"first page, {code}: something to be seen after {painted:.0f} ms, {weight / KILO:.1f} kB in all")
    return [figure for code, (painted, weight) in found for figure in _figures(code, painted, weight)]


def _seen(looker: Looker, address: str) -> tuple[float, float]:
    return looker.paints_within(address), looker.weighs(address)


def _figures(code: str, painted: float, weight: float) -> list[Figure]:
    return [
        at_most(f"first page seen ÷ {FIRST_PAINT} ms, {code}", painted, FIRST_PAINT, "ms"),
        at_most(f"first page in all ÷ {FIRST_PAGE / KILO:.0f} kB, {code}", weight / KILO, FIRST_PAGE / KILO, "kB"),
    ]


def main() -> None:
    """Measure it alone."""
    alone(measure, Path("build/paint.json"))


if __name__ == "__main__":
    main()
