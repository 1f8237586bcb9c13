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
    and kind <> :without
    and number < :before
order by number desc
limit :limit;

-- name: get_last_person_event
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
order by number desc
limit 1;

-- name: list_events_of_others
-- The newest events about a person that others made, newest first. A move to another account is made there.
select *
from events
where organisation = :organisation
    and person_key = :person_key
    and number > :after
    and (actor <> 'person' or kind in ('moved-away', 'given-away'))
    -- what systems do each night would hide the rest
    and kind not in ('orcid-token-read', 'person-looked-up')
order by number desc
limit :limit;

-- name: get_read_events
select *
from read_events
where organisation = :organisation
    and person_key = :person_key;

-- name: mark_events_read
-- A smaller number than the stored one changes nothing.
insert into read_events (organisation, person_key, event_number, at)
values (:organisation, :person_key, :number, :now)
on conflict (organisation, person_key) do update
set event_number = case
        when excluded.event_number > read_events.event_number then excluded.event_number
        else read_events.event_number
    end,
    at = excluded.at;

-- name: delete_read_events
delete from read_events
where organisation = :organisation
    and person_key = :person_key;

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

-- name: get_event_number
-- The number of the event with this hash.
select number
from events
where organisation = :organisation
    and hash = :hash;

-- name: list_links_with_newest_event
-- A page of current links by person_key, each with the newest event about the person's link, if there is one.
select
    links.id, links.person_key, links.registry, links.orcid, newest.kind, newest.facts
from (
    select *
    from links
    where organisation = :organisation
        and person_key > :after
        and ended_at is null
    order by person_key
    limit :limit
) as links
left join events as newest on newest.organisation = links.organisation
    and newest.number = (
        select max(events.number)
        from events
        where events.organisation = links.organisation
            and events.person_key = links.person_key
            and events.kind in ('linked', 'replaced', 'removed', 'moved')
    )
order by links.person_key;

-- name: list_events_without_link
-- A page by person_key of the newest events about people's links that made a link, where there is no current link.
select newest.person_key, newest.number, newest.facts
from events as newest
where newest.organisation = :organisation
    and newest.person_key > :after
    and newest.kind in ('linked', 'replaced', 'moved')
    and not exists (
        select 1
        from links
        where links.organisation = newest.organisation
            and links.person_key = newest.person_key
            and links.ended_at is null
    )
    and not exists (
        select 1
        from events as later
        where later.organisation = newest.organisation
            and later.person_key = newest.person_key
            and later.number > newest.number
            and later.kind in ('linked', 'replaced', 'removed', 'moved', 'moved-away', 'given-away')
    )
order by newest.person_key
limit :limit;

-- name: get_last_holder_event
-- The newest event before :before by which the account got or lost a holder.
select number, at, kind, facts
from events
where organisation = :organisation
    and person_key = :person_key
    and kind in ('reassigned', 'moved', 'moved-away')
    and number < :before
order by number desc
limit 1;

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
