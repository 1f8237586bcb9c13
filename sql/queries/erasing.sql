-- name: newest_number_of(organisation, person_key)^
-- The number of a person's newest change that is kept, if any.
select max(number) as number
from changes
where organisation = :organisation
    and person_key = :person_key;

-- name: anything_of(organisation, person_key)
-- Something, if anything at all is kept of a person.
select 1 as found
where exists (
        select 1 from links where organisation = :organisation and person_key = :person_key and ended_at is null
    )
    or exists (
        select 1 from links where organisation = :organisation and person_key = :person_key and ended_at is not null
    )
    or exists (select 1 from changes where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from attempts where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from deliveries where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from events where organisation = :organisation and person_key = :person_key);

-- name: spare_deliveries(organisation, person_key, now)!
-- How many deliveries of a person are not owed any more, because a removal waits to be delivered after them: nobody has
-- them in hand now, and what they may have brought about the removal undoes.
update deliveries
set state = 'done',
    outcome = 'superseded',
    finished_at = :now
where organisation = :organisation
    and person_key = :person_key
    and state = 'waiting'
    and leased_by is null
    and exists (
        select 1
        from deliveries as later
        where later.organisation = deliveries.organisation
            and later.person_key = deliveries.person_key
            and later.transfer = deliveries.transfer
            and later.number > deliveries.number
            and later.state = 'waiting'
            and later.kind = 'removed'
    );

-- name: ask_erasure(id, organisation, person_key, change_number, event_number, by_feed, now)!
-- A person wishes to be erased; who wished it before wishes it anew.
insert into erasures (id, organisation, person_key, change_number, event_number, by_feed, asked_at)
values (:id, :organisation, :person_key, :change_number, :event_number, :by_feed, :now)
on conflict (organisation, person_key) where person_key is not null do update
set change_number = excluded.change_number,
    event_number = excluded.event_number,
    by_feed = excluded.by_feed,
    asked_at = excluded.asked_at;

-- name: erasures_due(long_ago, limit)
-- Wishes to be erased that can be fulfilled: the removal is owed to nobody any more, or was asked for so long ago that
-- nobody is waited for who does not come. What still waits to be delivered is waited for in any case.
select erasures.*
from erasures
left join acknowledgements on acknowledgements.organisation = erasures.organisation
where erasures.person_key is not null
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = erasures.organisation
            and deliveries.person_key = erasures.person_key
            and deliveries.number <= erasures.change_number
            and (deliveries.state = 'waiting' or (deliveries.state = 'given-up' and erasures.asked_at > :long_ago))
    )
    and (
        erasures.by_feed = 0
        or erasures.change_number = 0
        or erasures.asked_at <= :long_ago
        or coalesce(acknowledgements.number, 0) >= erasures.change_number
    )
order by erasures.asked_at, erasures.id
limit :limit;

-- name: erasure_due(organisation, person_key, long_ago)^
-- One of them, by its person.
select erasures.*, coalesce(acknowledgements.number, 0) as acknowledged
from erasures
left join acknowledgements on acknowledgements.organisation = erasures.organisation
where erasures.organisation = :organisation
    and erasures.person_key = :person_key
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = erasures.organisation
            and deliveries.person_key = erasures.person_key
            and deliveries.number <= erasures.change_number
            and (deliveries.state = 'waiting' or (deliveries.state = 'given-up' and erasures.asked_at > :long_ago))
    )
    and (
        erasures.by_feed = 0
        or erasures.change_number = 0
        or erasures.asked_at <= :long_ago
        or coalesce(acknowledgements.number, 0) >= erasures.change_number
    );

-- name: erase_changes(organisation, person_key, number)!
delete from changes
where organisation = :organisation
    and person_key = :person_key
    and number <= :number;

-- name: erase_deliveries(organisation, person_key, number)!
-- Where and when a change arrived stays; whose it was, and what the other side said of it, goes.
update deliveries
set person_key = null,
    message = ''
where organisation = :organisation
    and person_key = :person_key
    and number <= :number;

-- name: erase_ended_links(organisation, person_key, until)!
delete from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at <= :until;

-- name: erase_facts_until(organisation, person_key, number)!
-- How many lines of the audit, up to a number, no longer say whom they were about.
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and person_key = :person_key
    and number <= :number;

-- name: erase_facts_at(organisation, number)!
update events
set person_key = null,
    facts = null
where organisation = :organisation
    and number = :number;

-- name: raise_forgotten(organisation, number)!
-- One if changes are gone now that a reader of the feed may not have fetched.
update counters
set forgotten = :number
where organisation = :organisation
    and forgotten < :number;

-- name: end_erasure(id, now)!
-- It is done, and names nobody.
update erasures
set person_key = null,
    finished_at = :now
where id = :id;

-- name: erasures_done()^
-- How many erasures are done, and the database's files not yet written anew.
select count(*) as count
from erasures
where finished_at is not null;

-- name: drop_erasures_done(before)!
delete from erasures
where finished_at <= :before;

-- name: gone_since(organisation, before, limit)
-- People who have no link, and of whom the audit has told nothing since a moment.
select person_key
from events
where organisation = :organisation
    and person_key is not null
    and not exists (
        select 1
        from links
        where links.organisation = events.organisation
            and links.person_key = events.person_key
            and links.ended_at is null
    )
    and not exists (
        select 1
        from erasures
        where erasures.organisation = events.organisation
            and erasures.person_key = events.person_key
    )
group by person_key
having max(at) < :before
order by person_key
limit :limit;
