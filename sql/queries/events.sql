-- name: add_event(organisation, number, at, kind, actor, person_key, facts, digest, hash)!
-- A line of the audit.
insert into events (organisation, number, at, kind, actor, person_key, facts, digest, hash)
values (:organisation, :number, :at, :kind, :actor, :person_key, :facts, :digest, :hash);

-- name: events_after(organisation, after, limit)
-- The next events of an organisation, oldest first.
select *
from events
where organisation = :organisation
    and number > :after
order by number
limit :limit;

-- name: events_before(organisation, before, limit)
-- The next events of an organisation, newest first.
select *
from events
where organisation = :organisation
    and number < :before
order by number desc
limit :limit;

-- name: person_events_after(organisation, person_key, after, limit)
-- The next events of one person, oldest first.
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and number > :after
order by number
limit :limit;

-- name: person_events_before(organisation, person_key, before, limit)
-- The next events of one person, newest first.
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and number < :before
order by number desc
limit :limit;

-- name: end_of_chain(organisation)^
-- How many events were counted, the last one's hash, and the highest number found; none where nothing was written.
-- One statement, so that all three are of one moment.
select
    events as counted,
    last_event_hash,
    (
        select coalesce(max(events.number), 0)
        from events
        where events.organisation = counters.organisation
    ) as highest
from counters
where organisation = :organisation;

-- name: erase_facts(organisation, person_key)!
-- How many lines of the audit no longer say whom they were about.
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and person_key = :person_key;
