-- name: add_count(organisation, day, source, word, count)!
-- So many more of a word on a day.
insert into daily_counts (organisation, day, source, word, count)
values (:organisation, :day, :source, :word, :count)
on conflict (organisation, day, source, word) do update
set count = daily_counts.count + excluded.count;

-- name: hold_counted_events(organisation)^
-- Up to which number an organisation's events are counted; nobody else counts them until the transaction ends.
-- The update changes nothing: it is there to hold the row, on both engines alike.
insert into counted_events (organisation, number)
values (:organisation, 0)
on conflict (organisation) do update
set organisation = excluded.organisation
returning number;

-- name: count_events_to(organisation, number)!
-- The events up to this number are in the counts.
update counted_events
set number = :number
where organisation = :organisation;

-- name: counts_kept(organisation, since, until)
-- What is counted for good between two days, what the attempts that are still there add on any day, and, under the
-- source `mark`, up to which number events are in it. One statement, so that all of it is of one moment.
select source, day, word, count
from daily_counts
where organisation = :organisation
    and day >= :since
    and day <= :until
union all
select 'attempt', substr(started_at, 1, 10), 'started', count(*)
from attempts
where organisation = :organisation
group by substr(started_at, 1, 10)
union all
select 'attempt', substr(closed_at, 1, 10), outcome, count(*)
from attempts
where organisation = :organisation
    and closed_at is not null
group by substr(closed_at, 1, 10), outcome
union all
select 'mark', '', '', number
from counted_events
where organisation = :organisation;

-- name: counts_of_events(organisation, after, until)
-- The events after a number, up to another, by day and kind; and the last number among them.
select substr(at, 1, 10) as day, kind, count(*) as count, max(number) as last
from events
where organisation = :organisation
    and number > :after
    and number <= :until
group by substr(at, 1, 10), kind;

-- name: imports_between(organisation, after, until)
-- The imports among some events: one event stands for many links there.
select substr(at, 1, 10) as day, facts
from events
where organisation = :organisation
    and number > :after
    and number <= :until
    and kind = 'imported';

-- name: uncounted_events(organisation)^
-- How many events of an organisation are not in the counts yet.
select counters.events - coalesce(counted_events.number, 0) as count
from counters
left join counted_events on counted_events.organisation = counters.organisation
where counters.organisation = :organisation;

-- name: releases_by_state(organisation)
-- Of how many current links of an organisation which release is known: counted in an index.
select release_state, count(*) as count
from links
where organisation = :organisation
    and ended_at is null
    and release_state is not null
group by release_state;

-- name: ways()
-- Each transfer that was ever owed something: its breaker, what waits since when, and what was given up.
select
    breakers.organisation,
    breakers.transfer,
    breakers.failures,
    breakers.open_until,
    (
        select count(*)
        from deliveries
        where deliveries.organisation = breakers.organisation
            and deliveries.transfer = breakers.transfer
            and deliveries.state = 'waiting'
    ) as waiting,
    (
        select oldest.created_at
        from deliveries as oldest
        where oldest.organisation = breakers.organisation
            and oldest.transfer = breakers.transfer
            and oldest.state = 'waiting'
        order by oldest.number
        limit 1
    ) as waiting_since,
    (
        select count(*)
        from deliveries as lost
        where lost.organisation = breakers.organisation
            and lost.transfer = breakers.transfer
            and lost.state = 'given-up'
    ) as given_up
from breakers
order by breakers.organisation, breakers.transfer;

-- name: fetching()
-- How far each organisation that fetches has come, and since when the next change waits to be fetched, if there is one.
select
    acknowledgements.organisation,
    acknowledgements.number,
    acknowledgements.at,
    counters.changes,
    (
        select changes.at
        from changes
        where changes.organisation = acknowledgements.organisation
            and changes.number > acknowledgements.number
        order by changes.number
        limit 1
    ) as waiting_since
from acknowledgements
join counters on counters.organisation = acknowledgements.organisation
order by acknowledgements.organisation;

-- name: keep_incident(incident, at, word, organisation, place)!
-- One the first time this number is shown.
insert into incidents (incident, at, word, organisation, place)
values (:incident, :at, :word, :organisation, :place)
on conflict (incident) do nothing;

-- name: incident(incident)^
select *
from incidents
where incident = :incident;

-- name: forget_incidents(before, most)!
-- How many were older than a moment, or not among the newest.
delete from incidents
where at < :before
    or at < coalesce(
        (
            select newer.at
            from incidents as newer
            order by newer.at desc
            limit 1
            offset :most
        ),
        ''
    );
