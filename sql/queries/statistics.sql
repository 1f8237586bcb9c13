-- name: add_to_period_count
insert into period_counts (organisation, length, period, source, name, count)
values (:organisation, :length, :period, :source, :name, :count)
on conflict (organisation, length, period, source, name) do update
set count = period_counts.count + excluded.count;

-- name: lock_counted_events
-- Locks the row until the transaction ends and returns the number of the last event counted.
-- The update changes nothing; it takes the lock on both engines alike.
insert into counted_events (organisation, number)
values (:organisation, 0)
on conflict (organisation) do update
set organisation = excluded.organisation
returning number;

-- name: update_counted_events
update counted_events
set number = :number
where organisation = :organisation;

-- name: list_counts
-- The stored counts between two days, or of all time, the counts of attempts that are not deleted yet on any day, and, as source
-- `counted-events`, the number of the last event that is included. One statement, so that all are consistent.
select source, period as day, name, count
from period_counts
where organisation = :organisation
    and length = :length
    and period >= :since
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
select 'counted-events', '', '', number
from counted_events
where organisation = :organisation;

-- name: list_counts_by_period
-- The counts of events and refused sign-ins from a period on, from stored counts of days or months (`length`), summed by
-- the first `group_length` characters of the period: 4 of a year; and, as source `counted-events`, the number of the last
-- event that is included.
select substr(period, 1, :group_length) as period, source, name, sum(count) as count
from period_counts
where organisation = :organisation
    and length = :length
    and period >= :since
    and source in ('event', 'sign-in')
group by substr(period, 1, :group_length), source, name
union all
select '', 'counted-events', '', number
from counted_events
where organisation = :organisation;

-- name: count_refused_sign_ins
select name, sum(count) as count
from period_counts
where organisation = :organisation
    and length = :length
    and period >= :since
    and source = 'sign-in'
group by name;

-- name: count_events_between
-- The number of events by day and kind, and the last event's number of each group.
select substr(at, 1, 10) as day, kind, count(*) as count, max(number) as last
from events
where organisation = :organisation
    and number > :after
    and number <= :until
group by substr(at, 1, 10), kind;

-- name: count_uncounted_events
-- Number of events that the counts do not include.
select organisations.last_event_number - coalesce(counted_events.number, 0) as count
from organisations
left join counted_events on counted_events.organisation = organisations.organisation
where organisations.organisation = :organisation;

-- name: count_releases_by_state
-- Number of current links by release state; reads an index alone.
select release_state, count(*) as count
from links
where organisation = :organisation
    and ended_at is null
    and release_state is not null
group by release_state;

-- name: list_transfer_backlogs
-- Each transfer that was ever owed a delivery, with its circuit breaker and its unfinished deliveries.
select
    circuit_breakers.organisation,
    circuit_breakers.transfer,
    circuit_breakers.consecutive_failures,
    circuit_breakers.open_until,
    (
        select count(*)
        from deliveries
        where deliveries.organisation = circuit_breakers.organisation
            and deliveries.transfer = circuit_breakers.transfer
            and deliveries.state = 'waiting'
    ) as waiting,
    (
        select oldest.created_at
        from deliveries as oldest
        where oldest.organisation = circuit_breakers.organisation
            and oldest.transfer = circuit_breakers.transfer
            and oldest.state = 'waiting'
        order by oldest.change_number
        limit 1
    ) as oldest_waiting_at,
    (
        select count(*)
        from deliveries as lost
        where lost.organisation = circuit_breakers.organisation
            and lost.transfer = circuit_breakers.transfer
            and lost.state = 'dead-letter'
    ) as dead_letters
from circuit_breakers
order by circuit_breakers.organisation, circuit_breakers.transfer;

-- name: list_feed_progress
-- Each organisation that has acknowledged changes, with the time of the oldest change after them that is kept.
select
    acknowledgements.organisation,
    acknowledgements.number,
    acknowledgements.at,
    organisations.last_change_number,
    (
        select changes.at
        from changes
        where changes.organisation = acknowledgements.organisation
            and changes.number > acknowledgements.number
        order by changes.number
        limit 1
    ) as oldest_unfetched_at
from acknowledgements
join organisations on organisations.organisation = acknowledgements.organisation
order by acknowledgements.organisation;

-- name: insert_credential_right
-- Does nothing where it is there already.
insert into credential_rights (organisation, credential, access_right, since)
values (:organisation, :credential, :access_right, :today)
on conflict (organisation, credential, access_right) do nothing;

-- name: delete_credential_right
delete from credential_rights
where organisation = :organisation
    and credential = :credential
    and access_right = :access_right;

-- name: record_credential_use
-- Changes a row at most once a day.
update credential_rights
set last_used_on = :today
where organisation = :organisation
    and credential = :credential
    and access_right = :access_right
    and coalesce(last_used_on, '') < :today;

-- name: list_credential_rights
select *
from credential_rights
where organisation = :organisation
order by credential, access_right;
