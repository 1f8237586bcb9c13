"""A day of the nation in fast motion, on the real stack on one machine.

`python -m tests.load` prints a table and writes `build/load.json`; QUICK=1 in the environment takes a short day with
few links, to try it. It ends within `LIMIT`, and prints what it has if something goes wrong.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from sql.store import open_store
from tests.load.clients import Clients
from tests.load.driver import Results, run
from tests.load.nation import Nation, running_nation
from tests.load.processes import Usage
from tests.load.schedule import (
    FAILING_FROM,
    FAILING_UNTIL,
    FAILOVER_AT,
    FAULTS,
    NIGHT,
    ORGANISATIONS,
    PEAK_FROM,
    PEAK_UNTIL,
    QUICK,
    RECEIVERS,
    RESTART_AT,
    SILENT,
    UPGRADE_AT,
    Day,
)
from tests.support.processes import next_release

OUTPUT = Path("build/load.json")
LIMIT = 840
"""Seconds after which the day is broken off."""
BOTH = "both nodes together"
GOAL_MEMORY, GOAL_CORES = 1024, 2.0
OUTAGE = 2.0
"""Seconds from the end of the primary to the promotion of the standby, as a cluster manager takes."""
RECOVERY = 20.0
"""Seconds after the promotion of the standby in which errors are counted as the failover's."""
SETTLING = 60.0
"""Seconds for what was delivered again in the evening."""
NAMED = {"failover of the database": {"503", "504"}}
"""Errors that the design names: while no database accepts writes, requests get 503."""


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Operator:
    """What happens to the service."""

    def __init__(self, nation: Nation, results: Results) -> None:
        self._nodes, self._results = nation.nodes, results

    def restart_node(self) -> None:
        """Restart the first node."""
        self._during("restart of a node", lambda: next_release.restart(self._nodes, 0))

    def upgrade_node(self) -> None:
        """Upgrade the second node to the next release."""

        def upgrade() -> None:
            directory = next_release.install(Path(tempfile.mkdtemp(dir=self._nodes.stack.directory)))
            next_release.migrate(self._nodes.nodes[1], directory)
            next_release.restart(self._nodes, 1, directory)

        self._during("upgrade of a node", upgrade)

    def fail_over(self) -> None:
        """End the primary and promote the standby."""

        def promote() -> None:
            self._nodes.cluster.kill_primary()
            time.sleep(OUTAGE)
            self._nodes.cluster.promote_standby()
            time.sleep(RECOVERY)

        self._during("failover of the database", promote)

    def _during(self, phase: str, act: Callable[[], None]) -> None:
        self._results.phase = phase
        begun = time.monotonic()
        try:
            act()
            tell(f"  {phase}: {time.monotonic() - begun:.0f} s")
        except Exception as error:  # noqa: BLE001 - the day goes on
            tell(f"  {phase}: FAILED, {str(error)[:400]}")
        self._results.phase = ""


def live(nation: Nation, clients: Clients, results: Results, executor: Executor) -> tuple[float, int]:
    """Let the day pass, and return what `run` returns."""
    day, operator = nation.day, Operator(nation, results)

    def at_peak(rate: float) -> Callable[[float], float]:
        return lambda part: rate if PEAK_FROM <= part < PEAK_UNTIL else rate * NIGHT

    def always(rate: float) -> Callable[[float], float]:
        return lambda _part: rate

    rates = {
        clients.look_up: at_peak(day.lookups),
        clients.link: at_peak(day.linkings),
        clients.remove: always(day.removals),
        clients.depart: always(day.departures),
        clients.poll: always(day.polls),
    }
    events = {
        FAILING_FROM: nation.fail_receivers,
        RESTART_AT: operator.restart_node,
        UPGRADE_AT: operator.upgrade_node,
        FAILING_UNTIL: nation.repair_receivers,
        FAILOVER_AT: operator.fail_over,
    }
    return run(day.seconds, rates, events, executor)


DELIVERIES = """
select
    organisation,
    count(*) as all,
    count(*) filter (where state = 'done') as done,
    count(*) filter (where finished_at::timestamptz > created_at::timestamptz + interval '10 seconds') as late,
    count(*) filter (where state = 'waiting') as waiting,
    count(*) filter (where state = 'dead-letter') as dead,
    coalesce(max(extract(epoch from finished_at::timestamptz - created_at::timestamptz)), 0)::float as longest
from deliveries
group by organisation
order by organisation
"""


def deliver_again(nation: Nation) -> list[dict]:
    """Send again what waits, as the operator does with `deliver --retry`; return the figures of all deliveries."""
    evening = {row["organisation"]: row["waiting"] for row in nation.query(DELIVERIES)}
    silent = nation.organisations[RECEIVERS.index(SILENT)].id
    store, now = open_store(nation.url()), datetime.now(UTC)
    for organisation in evening.keys() - {silent}:
        store.deliveries.retry(organisation, None, now)
        store.deliveries.make_due(organisation, None, now)
        store.deliveries.record_success(organisation, "idm")
    store.close()
    end = time.monotonic() + SETTLING
    while True:
        rows = nation.query(DELIVERIES)
        if time.monotonic() > end or not any(row["waiting"] for row in rows if row["organisation"] != silent):
            return [row | {"waited": evening.get(row["organisation"], 0)} for row in rows]
        time.sleep(0.5)


def lost_links(nation: Nation, clients: Clients) -> int:
    """Count the links that people were told of today, and that are not in the database."""
    accounts = [account for account, _ in clients.linked]
    statement = "select count(*) as number from links where account = any(%s) and ended_at is null"
    return len(accounts) - nation.query(statement, accounts)[0]["number"]


# Tables: each row is a dict from column to value; the first value is the name of the row


def requests(results: Results) -> Iterable[dict]:
    """Return the number and durations of each kind of request that succeeded."""
    for kind, values in sorted(results.durations.items()):
        cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
        figures = {"p50 ms": cuts[49], "p99 ms": cuts[98], "longest ms": max(values)}
        yield {"requests": kind, "number": len(values)} | {name: round(each * 1e3) for name, each in figures.items()}


def errors(results: Results) -> Iterable[dict]:
    """Return what clients saw in place of what they should, and whether the design names it."""
    for (kind, result, phase), number in sorted(results.errors.items()):
        named = result.split()[0] in NAMED.get(phase, ())
        name = f"{kind}: {result}{f', in the {phase}' if phase else ''}"
        yield {"errors as a client sees them": name, "number": number, "named": "yes" if named else "NO"}


def receivers(deliveries: Iterable[Mapping], nation: Nation) -> Iterable[dict]:
    """Return the figures of the deliveries to each receiver, added up for those that behave alike."""
    names = {each.id: behaviour for each, behaviour in zip(nation.organisations, RECEIVERS, strict=False)}
    found: dict[str, dict] = {name: {} for name in RECEIVERS}
    for row in deliveries:
        sums = found[names[row["organisation"]]]
        for figure in ("all", "done", "late", "waited", "dead"):
            sums[figure] = sums.get(figure, 0) + row[figure]
        sums["longest s"] = max(sums.get("longest s", 0), round(row["longest"]))
    for name, sums in found.items():
        if sums:
            yield {"deliveries to a receiver that": f"fails: {name}" if name in FAULTS else name} | sums


def processes(usage: Usage, seconds: float) -> Iterable[dict]:
    """Return memory and processor time of each process, and of both nodes together."""
    rows = {group: (usage.memory[group], sum(usage.processor[group].values())) for group in sorted(usage.memory)}
    nodes = [figures for group, figures in rows.items() if group.startswith("node")]
    rows[BOTH] = sum(memory for memory, _ in nodes), sum(processor for _, processor in nodes)
    for group, (memory, processor) in rows.items():
        yield {"processes": group, "MB": round(memory), "cores": round(processor / seconds, 2)}


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows under the names of their columns."""
    first, *others = rows[0]
    width = max(len(first), *(len(str(row[first])) for row in rows))
    tell("\n" + first.ljust(width) + "".join(f"{name:>12}" for name in others))
    for row in rows:
        cells = (f"{each:,}" if isinstance(each, int | float) else str(each) for each in (row[name] for name in others))
        tell(str(row[first]).ljust(width) + "".join(f"{cell:>12}" for cell in cells))


def break_off(*_: object) -> None:
    raise TimeoutError(f"the day was not over after {LIMIT} s")


def main() -> None:
    """Let the day pass, print the tables and write them down."""
    # What ends it ends the servers it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, break_off)
    signal.alarm(LIMIT)
    day = QUICK if os.environ.get("QUICK") else Day()
    begun = time.monotonic()
    # The thread outlives the processes that it starts: they end with the thread that started them (pdeathsig)
    with ThreadPoolExecutor(1) as executor, running_nation(day) as nation:
        nation.insert_links()
        tell(f"{day.links:,} links of {ORGANISATIONS} organisations, after {time.monotonic() - begun:.0f} s")
        report = pass_day(nation, executor)
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    tell(f"{OUTPUT} written, after {time.monotonic() - begun:.0f} s")


def pass_day(nation: Nation, executor: Executor) -> dict[str, object]:
    """Let the day pass, and print and return what was found, even if it is broken off."""
    results, usage, seconds = Results(), Usage(), nation.day.seconds
    clients = Clients(nation, results)
    facts: dict[str, object] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "day": f"{seconds:.0f} s, {datetime.now(UTC):%Y-%m-%d}",
    }
    deliveries: list[dict] = []
    try:
        with usage.measured(nation.processes):
            late, running = live(nation, clients, results, executor)
        facts["largest delay of the driver itself"] = f"{late:.2f} s"
        facts["requests that did not end"] = running
        facts["processes that ended"] = ", ".join(nation.ended()) or "none"
        deliveries = deliver_again(nation)
        facts["links confirmed today and lost"] = lost_links(nation, clients)
        looked_up = "select count(*) as number from links where record_checked_at is not null"
        facts["iDs looked up at ORCID by the status round"] = nation.query(looked_up)[0]["number"]
    except Exception as error:  # noqa: BLE001 - what was found until then is printed
        facts["broken off"] = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    facts["load at the end"] = round(os.getloadavg()[1], 1)
    tables = {
        "requests": list(requests(results)),
        "errors": list(errors(results)),
        "deliveries": list(receivers(deliveries, nation)),
        "processes": list(processes(usage, seconds)),
    }
    both = tables["processes"][-1]
    met = both["MB"] <= GOAL_MEMORY and both["cores"] <= GOAL_CORES
    facts["goal of both nodes"] = f"{GOAL_MEMORY} MB, {GOAL_CORES:g} cores: {'met' if met else 'MISSED'}"
    facts["errors that the design does not name"] = sum(
        row["number"] for row in tables["errors"] if row["named"] == "NO"
    )
    for rows in filter(None, tables.values()):
        print_table(rows)
    tell("late: more than 10 s after the change; waited: in the evening, before `deliver --retry`; dead: given up\n")
    for name, value in facts.items():
        tell(f"{name}: {value}")
    return tables | {"facts": facts}


if __name__ == "__main__":
    main()
