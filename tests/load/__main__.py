"""A day of the nation in fast motion, on the real stack on one machine.

`python -m tests.load` prints a table and writes `build/load.json`; QUICK=1 in the environment takes a short day with
few links, to try it. What was found is no failure.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import platform
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import quote

from sql.store import open_store
from tests.load.driver import Results, run
from tests.load.nation import Nation, Organisation, living
from tests.load.people import Api, DirectPerson, FailedRequest, chosen, make_user
from tests.load.processes import Usage, measured
from tests.load.schedule import (
    EVENTS,
    FAILING_FROM,
    FAILING_UNTIL,
    NIGHT,
    ORGANISATIONS,
    PEAK_FROM,
    PEAK_UNTIL,
    QUICK,
    RECEIVERS,
    Day,
)
from tests.support.processes import next_release
from tests.support.system.people import SAIMAA
from tests.support.system.visitor import FailedPage, Visitor

OUTPUT = Path("build/load.json")
GOAL_MEMORY, GOAL_CORES = 1024, 2.0
RECOVERY = 20.0
"""Seconds after the promotion of the standby in which errors are counted as the failover's."""
OUTAGE = 2.0
"""Seconds from the end of the primary to the promotion of the standby, as a cluster manager takes."""
FIGURES = ("all", "done", "late", "waited", "dead")
NAMED = {"failover of the database": {"503", "504"}}
"""Errors that the design names: while no database accepts writes, requests get 503."""


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Simulation:
    """The clients of the day; each public method sends one request, or lets one person do something."""

    def __init__(self, nation: Nation, results: Results) -> None:
        self.nation, self.results = nation, results
        self.api = Api(nation.nodes, results)
        self.linked: list[tuple[DirectPerson, str]] = []
        self._orcids = count(nation.day.links + 1)
        self._leaving = count()
        self._turn = count()
        self._idle = [self._visitor(number) for number in range(nation.day.visitors)]

    def _organisation(self) -> Organisation:
        return self.nation.organisations[chosen(len(self.nation.organisations))]

    def _visitor(self, number: int) -> Visitor:
        account = [f"visitor-{number:03d}@{SAIMAA.scope}"]
        return Visitor(
            self.nation.nodes.stack,
            self.nation.nodes.simulator,
            "maija",
            make_user(self.nation.nodes.simulator, self.nation.day.links + 1_000_000 + number),
            report=self._seen,
            attributes={"eppn": account, "subject-id": account},
        )

    def _seen(self, kind: str, result: str, seconds: float) -> None:
        self.results.report(f"{kind}, mod_shib", result, seconds)

    def look_up(self) -> None:
        """An Identity Provider asks for a person who signs in."""
        one = self._organisation()
        known = random.random() < self.nation.day.lookups_of_linked
        number = chosen(self.nation.linked_each)
        account = one.linked(number) if known else f"nobody-{number}@{one.scope}"
        self.api.ask("look-up", one.token, f"/v1/people/{quote(account)}")

    def poll(self) -> None:
        """An organisation fetches what is new in its feed, and acknowledges it."""
        one = self.nation.organisations[next(self._turn) % ORGANISATIONS]
        if one.cursor is None:
            found = self.api.ask("feed, snapshot", one.token, "/v1/changes")
        else:
            found = self.api.ask("feed", one.token, f"/v1/changes?cursor={quote(one.cursor)}")
        if found:
            one.cursor = found["next_cursor"]

    def depart(self) -> None:
        """An organisation reports a person who has left."""
        number = next(self._leaving)
        one = self.nation.organisations[number % ORGANISATIONS]
        account = one.linked(number // ORGANISATIONS)
        self.api.ask("person has left", one.token, f"/v1/people/{quote(account)}", "DELETE")

    def link(self) -> None:
        """A person links an iD."""
        one = self._organisation()
        account = one.linker(next(one.next_linker))
        orcid = make_user(self.nation.nodes.simulator, next(self._orcids))
        person = DirectPerson(self.nation.nodes, one.entity_id, account, orcid)
        if self._does("linking", lambda: person.link(self.results, self.nation.nodes.simulator)):
            self.linked.append((person, account))

    def remove(self) -> None:
        """A person removes the link that was made today."""
        if self.linked:
            person, _ = self.linked.pop(0)
            self._does("removal of a link", lambda: person.remove(self.results))

    def _does(self, whole: str, act: Callable[[], None]) -> bool:
        begun = time.perf_counter()
        try:
            act()
        except FailedRequest as failed:
            self.results.report(failed.kind, failed.result, 0)
        except (OSError, http.client.HTTPException) as error:
            self.results.report("page", type(error).__name__, 0)
        else:
            self.results.report(f"{whole}, as a whole", "ok", time.perf_counter() - begun)
            return True
        return False

    def journey(self) -> None:
        """A person links an iD and removes it, through the Service Provider."""
        self._visit(lambda visitor: (visitor.link(), visitor.remove()))

    def sign_in(self) -> None:
        """A person signs in through the Service Provider."""
        self._visit(Visitor.sign_in)

    def _visit(self, act: Callable[[Visitor], object]) -> None:
        if not self._idle:
            self.results.report("visit, mod_shib", "not begun: all visitors are busy", 0)
            return
        visitor = self._idle.pop(0)
        try:
            act(visitor)
        except FailedPage as failed:
            self.results.report("visit, mod_shib", re.sub(r"/\S{16,}", "/...", failed.result), 0)
        except (OSError, KeyError) as error:
            self.results.report("visit, mod_shib", type(error).__name__, 0)
        finally:
            self._idle.append(visitor)

    # What happens to the service

    def restart_node(self) -> None:
        self._during("restart of a node", lambda: next_release.restart(self.nation.nodes, 0))

    def upgrade_node(self) -> None:
        def upgrade() -> None:
            directory = next_release.install(Path(tempfile.mkdtemp(dir=self.nation.nodes.stack.directory)))
            next_release.migrate(self.nation.nodes.nodes[1], directory)
            next_release.restart(self.nation.nodes, 1, directory)

        self._during("upgrade of a node", upgrade)

    def fail_over(self) -> None:
        def promote() -> None:
            cluster = self.nation.nodes.cluster
            cluster.kill_primary()
            time.sleep(OUTAGE)
            cluster.promote_standby()
            time.sleep(RECOVERY)

        self._during("failover of the database", promote)

    def _during(self, phase: str, act: Callable[[], None]) -> None:
        self.results.enter(phase)
        begun = time.monotonic()
        try:
            act()
            tell(f"  {phase}: {time.monotonic() - begun:.0f} s")
        except Exception as error:  # noqa: BLE001 - the day goes on
            tell(f"  {phase}: FAILED, {str(error)[:400]}")
        self.results.enter("")


def live(nation: Nation, results: Results, operator: Executor) -> tuple[Simulation, float]:
    """Let the day pass; `operator` does one thing after the other."""
    day, world = nation.day, Simulation(nation, results)

    def at_peak(rate: float) -> Callable[[float], float]:
        return lambda part: rate if PEAK_FROM <= part < PEAK_UNTIL else rate * NIGHT

    def always(rate: float) -> Callable[[float], float]:
        return lambda _part: rate

    rates = {
        world.look_up: at_peak(day.lookups),
        world.link: at_peak(day.linkings),
        world.remove: always(day.removals),
        world.journey: always(day.journeys),
        world.sign_in: always(day.sign_ins),
        world.depart: always(day.departures),
        world.poll: always(day.polls),
    }
    acts = (world.restart_node, world.upgrade_node, world.fail_over)
    events = {part: functools.partial(operator.submit, act) for (part, _), act in zip(EVENTS, acts, strict=True)}
    events |= {FAILING_FROM: nation.fail_receivers, FAILING_UNTIL: nation.repair_receivers}
    return world, run(day.seconds, rates, events)


def settle(nation: Nation) -> list[dict]:
    """Send again what waits, as the operator does with `deliver --retry`, and return figures of all deliveries."""
    before = nation.deliveries()
    store, now = open_store(nation.url()), datetime.now(UTC)
    for each in nation.organisations[: len(RECEIVERS)]:
        store.deliveries.retry(each.id, None, now)
        store.deliveries.make_due(each.id, None, now)
        store.deliveries.record_success(each.id, "idm")
    store.close()
    end = time.monotonic() + 60
    silent = nation.organisations[len(RECEIVERS)].id
    while (rows := nation.deliveries()) and time.monotonic() < end:
        if not any(row["waiting"] for row in rows if row["organisation"] != silent):
            break
        time.sleep(0.5)
    evening = {row["organisation"]: row["waiting"] for row in before}
    return [row | {"waited": evening[row["organisation"]]} for row in rows]


def tables(nation: Nation, results: Results, usage: Usage, deliveries: list[dict], facts: dict) -> dict:
    """Print the tables, and return what they hold."""
    seconds = nation.day.seconds
    tell(f"\n{'requests':<34} {'number':>8} {'p50':>9} {'p99':>9} {'longest':>9}   in milliseconds")
    requests = []
    for kind, values in sorted(results.durations.items()):
        cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
        row = {"kind": kind, "number": len(values), "p50": cuts[49], "p99": cuts[98], "longest": max(values)}
        requests.append(row)
        figures = " ".join(f"{row[name] * 1e3:>9,.0f}" for name in ("p50", "p99", "longest"))
        tell(f"{kind:<34} {row['number']:>8,} {figures}")

    tell(f"\n{'errors as a client sees them':<60} {'during':<28} number")
    errors = []
    for (kind, result, phase), number in sorted(results.errors.items()):
        named = result.split()[0] in NAMED.get(phase, ())
        errors.append({"kind": kind, "result": result, "during": phase, "number": number, "named": named})
        tell(f"{f'{kind}: {result}'[:60]:<60} {phase or '-':<28} {number:>6}{'' if named else '   NOT NAMED'}")
    if not errors:
        tell("none")

    tell(f"\n{'deliveries to a receiver that':<34} {' '.join(f'{figure:>6}' for figure in FIGURES)}  longest")
    receivers: dict[str, dict] = {}
    names = {each.id: _receiver_name(each) for each in nation.organisations}
    for row in deliveries:
        group = receivers.setdefault(names.get(row["organisation"], "-"), dict.fromkeys(FIGURES, 0) | {"longest": 0.0})
        for name in FIGURES:
            group[name] += row[name]
        group["longest"] = max(group["longest"], row["longest"])
    for name, row in receivers.items():
        tell(f"{name:<34} {' '.join(f'{row[figure]:>6}' for figure in FIGURES)}  {row['longest']:>6.0f} s")
    tell(
        "late: more than 10 s after the change; waited: at the end of the day, before `deliver --retry`; dead: given up"
    )

    tell(f"\n{'processes':<34} {'memory MB':>10} {'processor s':>12} {'cores':>6}")
    processes, sums = [], {"memory": 0.0, "processor": 0.0}
    for group in sorted(usage.memory):
        row = {"group": group, "memory": usage.memory[group], "processor": sum(usage.processor[group].values())}
        processes.append(row)
        if group.startswith("node"):
            sums = {name: sums[name] + row[name] for name in sums}
        tell(f"{group:<34} {row['memory']:>10,.0f} {row['processor']:>12,.1f} {row['processor'] / seconds:>6.2f}")
    cores = sums["processor"] / seconds
    met = sums["memory"] <= GOAL_MEMORY and cores <= GOAL_CORES
    tell(f"{'both nodes together':<34} {sums['memory']:>10,.0f} {sums['processor']:>12,.1f} {cores:>6.2f}"
         f"   goal {GOAL_MEMORY} MB, {GOAL_CORES:g} cores: {'met' if met else 'MISSED'}")  # fmt: skip
    tell("")
    for name, value in facts.items():
        tell(f"{name}: {value}")
    return {"requests": requests, "errors": errors, "deliveries": receivers, "processes": processes, "facts": facts}


def _receiver_name(one: Organisation) -> str:
    if one.number == len(RECEIVERS):
        return "is silent all day"
    return f"fails: {one.fault}" if one.fault else "works"


def main() -> None:
    """Let the day pass, print the tables and write them down."""
    # What ends it ends the servers it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    day = QUICK if os.environ.get("QUICK") else Day()
    begun = time.monotonic()
    # The thread outlives the processes that it starts: they end with the thread that started them (pdeathsig)
    with ThreadPoolExecutor(1) as operator, living(day) as nation:
        tell(f"the service runs on two nodes, after {time.monotonic() - begun:.0f} s")
        filled = nation.insert_links()
        for number in range(1, day.links + 1):
            make_user(nation.nodes.simulator, number)
        tell(f"{day.links:,} links of {ORGANISATIONS} organisations, inserted in {filled:.0f} s; the day begins")
        results = Results()
        with measured(nation.processes) as usage:
            world, late = live(nation, results, operator)
        ended = [name for name, process in nation.started() if process.poll() is not None]
        deliveries = settle(nation)
        looked_up = nation.one("select count(*) from links where record_checked_at is not null")
        facts = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[1]:.1f} at the end",
            "day": f"{day.seconds:.0f} s, {datetime.now(UTC):%Y-%m-%d}",
            "status round": f"{looked_up} iDs were looked up at ORCID",
            "processes that ended": ", ".join(ended) or "none",
            "links confirmed today and lost": lost_links(nation, world),
            "the driver's own largest delay": f"{late:.2f} s",
            "sign-ins": "'mod_shib' is through balancer, Apache and mod_shib; the others go to the nodes' sockets,"
            " with the headers that Apache passes on",
        }
        found = tables(nation, results, usage, deliveries, facts)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tell(f"{OUTPUT} written, after {time.monotonic() - begun:.0f} seconds.")


def lost_links(nation: Nation, world: Simulation) -> int:
    """Count the links whose result people saw today, and that are not in the database."""
    accounts = [account for _, account in world.linked]
    with nation.connect() as database:
        found = database.execute(
            "select count(*) from links where account = any(%s) and ended_at is null", [accounts]
        ).fetchone()[0]
    return len(accounts) - found


if __name__ == "__main__":
    main()
