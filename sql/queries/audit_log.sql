-- name: insert_event
insert into events (organisation, number, at, kind, actor, person_key, facts, digest, hash)
values (:organisation, :number, :at, :kind, :actor, :person_key, :facts, :digest, :hash);

-- name: list_events_after
-- A page of an organisation's events, oldest first.
select *
from events
where organisation = :organisation
    and number > :after
order by number
limit :limit;

-- name: list_events_before
-- A page of an organisation's events, newest first.
select *
from events
where organisation = :organisation
    and number < :before
order by number desc
limit :limit;

-- name: list_person_events_after
-- A page of one person's events, oldest first.
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and number > :after
order by number
limit :limit;

-- name: list_person_events_before
-- A page of one person's events, newest first.
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and number < :before
order by number desc
limit :limit;

-- name: get_chain_end
-- The number and hash of the last event that was written, and the highest number found.
-- One statement, so that all three are consistent.
select
    last_event_number,
    last_event_hash,
    (
        select coalesce(max(events.number), 0)
        from events
        where events.organisation = organisations.organisation
    ) as highest
from organisations
where organisation = :organisation;

-- name: erase_facts_of_person
-- The events stay in the chain without the person and the facts.
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and person_key = :person_key;

-- name: erase_facts_of_person_until
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and person_key = :person_key
    and number <= :number;

-- name: erase_facts_of_event
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and number = :number;
