"""One run: everything is measured against its base in rounds that take turns, since no machine is ever quiet."""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import lookups, moves, paint
from tests.bench.client import CROWD, Act, Round, for_seconds, so_often
from tests.bench.figures import Figure, at_most, beside
from tests.bench.people import Visitor, link, look
from tests.bench.processes import Running
from tests.bench.sites import POSTGRES, SQLITE, Ground, Site, ground
from tests.bench.telling import Tell

ENGINES = (SQLITE, POSTGRES)
ROUNDS = 14
SECONDS = 0.35
"""How long a round is: short, so that a round and its base see the same load of a shared machine."""
WARM_UP = 300
FEW, MANY = 1_000, 1_000_000
"""Links in a store that is young, and in one that is old."""
FIRST, LAST = 1_000, 10_000
"""After how many links the memory is looked at."""
MOST_MEMORY = 80
"""In MB."""
MOST_GROWTH_OF_MEMORY = 1.05
COME_BACK = 2_000
"""How many of the linked persons look at their own page again."""

_BEFOREHAND = f"""\
{CROWD} clients at once, over kept connections. The service and its base take turns, and a figure is the median of the
ratios of their rounds. ORCID is a stand-in that answers at once: what the simulator costs is not measured. Every link
waits for the disk, on PostgreSQL as well (fsync on). Speeds are this machine's, as busy as it is now.
"""

Pairs = list[tuple[Round, Round]]


class Untrue(RuntimeError):
    """The store does not hold what the clients were told."""


def measure(tell: Tell) -> list[Figure]:
    """Measure everything."""
    tell(_BEFOREHAND)
    with TemporaryDirectory(prefix="orcid-connect-bench-") as directory, ground(Path(directory)) as here:
        speed = [figure for engine in ENGINES for figure in _speed(here.site(engine), tell)]
        old = [here.site(engine) for engine in ENGINES]
        memory = _memory_while_filling(here, old, tell)
        growth = [figure for site in old for figure in _growth(here.site(site.engine), site, tell)]
        moved = moves.measure(here, tell, moves.how_many([]))
        looked_up = lookups.measure(Path(directory), tell)
        painted = paint.measure(here, tell)
    return speed + growth + memory + moved + looked_up + painted


def _speed(site: Site, tell: Tell) -> Iterator[Figure]:
    """Measure links, and `/me` of persons who have one, against empty handlers."""
    numbers = itertools.count(1)
    linking, looking = _linking(numbers), _looking(range(1, WARM_UP))
    with ExitStack() as stack:
        web = stack.enter_context(site.web())
        sample = site.sample(web, Visitor.of(0))
        base, hurried = (stack.enter_context(site.base(sample, *words)) for words in ((), ("as-ours",)))
        for each in web, base, hurried:
            so_often(each, linking, WARM_UP)
        links = _in_turns(web, base, linking)
        _must_hold(site, 1 + WARM_UP + sum(ours.done for ours, _ in links))
        pages = _in_turns(web, base, looking)
        beyond = [_ratio(_in_turns(web, hurried, act)) for act in (linking, looking)]
    tell(_absolute(f"links, {site.engine}", links))
    tell(_absolute(f"/me of a linked person, {site.engine}", pages))
    tell(
        "waitress hands empty handlers to threads, and ours take turns; against empty handlers that take turns too: "
        f"links {beyond[0]:.2f}, /me {beyond[1]:.2f}"
    )
    yield beside(f"links ÷ empty handlers and one commit, {site.engine}", 0.5, "higher", "links/s", _rates(links))
    yield beside(f"/me of a linked person ÷ empty page, {site.engine}", 0.4, "higher", "requests/s", _rates(pages))


def _growth(young: Site, old: Site, tell: Tell) -> Iterator[Figure]:
    """Measure how much longer things take with many links than with few."""
    _fill(young, FEW)
    linking = _linking(itertools.count(MANY))
    with young.web() as web_of_young, old.web() as web_of_old:
        for web, links in (web_of_young, FEW), (web_of_old, MANY):
            so_often(web, linking, WARM_UP)
            so_often(web, _looking(range(links)), WARM_UP)
        pages = _in_turns(web_of_old, web_of_young, _looking(range(MANY)), _looking(range(FEW)))
        links = _in_turns(web_of_old, web_of_young, linking)
    tell(_absolute(f"/me with {MANY:,} links, {old.engine}", pages))
    tell(_absolute(f"links after {MANY:,} links, {old.engine}", links))
    million = "1 million links ÷ 1 thousand"
    yield beside(f"time of /me, {million}, {old.engine}", 1.2, "lower", "ms", _times(pages))
    yield beside(f"time of a link, {million}, {old.engine}", 1.2, "lower", "ms", _times(links))


def _memory_while_filling(here: Ground, to_fill: Sequence[Site], tell: Tell) -> list[Figure]:
    """Measure memory, and fill stores meanwhile: neither is about speed."""
    tell(f"\n{LAST:,} links on each engine, to see the memory; and stores are filled with {MANY:,} links …")
    with ThreadPoolExecutor() as aside:
        filled = [aside.submit(_fill, site, MANY) for site in to_fill]
        soaked = [aside.submit(_memory, here.site(engine)) for engine in ENGINES]
        for each in filled:
            each.result()
        found = [each.result() for each in soaked]
    for said, _ in found:
        tell(said)
    tell("")
    return [figure for _, figures in found for figure in figures]


def _memory(site: Site) -> tuple[str, list[Figure]]:
    act = _linking(itertools.count(1))
    with site.web() as web:
        so_often(web, act, FIRST)
        early = web.rss()
        so_often(web, act, LAST - FIRST)
        late, share = web.rss(), web.pss()
    _must_hold(site, LAST)
    said = f"memory of the web process, {site.engine}: {late:.1f} MB resident, {share:.1f} MB proportional (PSS)"
    ratio = late / early
    growth = f"memory after {LAST:,} links ÷ after {FIRST:,}, {site.engine}"
    return said, [
        at_most(f"memory after {LAST:,} links ÷ {MOST_MEMORY} MB, {site.engine}", late, MOST_MEMORY, "MB"),
        Figure(growth, ratio, MOST_GROWTH_OF_MEMORY, "lower", late, early, "MB"),
    ]


def _fill(site: Site, links: int) -> None:
    subprocess.run([sys.executable, "-m", "tests.bench.fill", site.url, str(links)], check=True)


def _in_turns(one: Running, other: Running, act: Act, others_act: Act | None = None) -> Pairs:
    return [(for_seconds(one, act, SECONDS), for_seconds(other, others_act or act, SECONDS)) for _ in range(ROUNDS)]


def _linking(numbers: Iterator[int]) -> Act:
    """Link the next person at each call."""
    return lambda ask: link(ask, Visitor.of(next(numbers)))


def _looking(numbers: Sequence[int]) -> Act:
    """Let some of these persons come back to their own page, over and over."""
    chosen = random.Random(1).sample(numbers, min(COME_BACK, len(numbers)))
    visitors = itertools.cycle([Visitor.of(number) for number in chosen])
    return lambda ask: look(ask, next(visitors))


def _ratio(pairs: Pairs) -> float:
    return statistics.median(one.rate / other.rate for one, other in pairs)


def _rates(pairs: Pairs) -> list[tuple[float, float]]:
    return [(one.rate, other.rate) for one, other in pairs]


def _times(pairs: Pairs) -> list[tuple[float, float]]:
    return [(1000 / one.rate, 1000 / other.rate) for one, other in pairs]


def _absolute(name: str, pairs: Pairs) -> str:
    rate, p50, work, base = (
        statistics.median(side)
        for side in zip(*((one.rate, one.p50, one.work, other.work) for one, other in pairs), strict=True)
    )
    work_ratio = f"{1000 * work:.2f} ms of a processor each, its base {1000 * base:.2f} ms"
    return f"{name}: {rate:,.0f} a second, p50 {1000 * p50:.1f} ms, {work_ratio}"


def _must_hold(site: Site, links: int) -> None:
    if site.links() != links:
        raise Untrue(f"{links} links were made, and the store holds {site.links()}")
