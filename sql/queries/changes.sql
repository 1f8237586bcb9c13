-- name: hold_organisation(organisation)^
-- What the organisation's last change, last event and last hash were; its row is ours until the transaction ends.
-- The update changes nothing: it is there to hold the row, on both engines alike; of the key, it would write the key's
-- index as well.
insert into counters (organisation, changes, events, last_event_hash)
values (:organisation, 0, 0, '')
on conflict (organisation) do update
set changes = counters.changes
returning changes, events, last_event_hash;

-- name: count_on(organisation, changes, events, last_event_hash)!
-- The organisation's row after a change or an event.
update counters
set changes = :changes,
    events = :events,
    last_event_hash = :last_event_hash
where organisation = :organisation;

-- name: last_change(organisation)^
-- The number of the organisation's last change, if there ever was one.
select changes
from counters
where organisation = :organisation;

-- name: add_change(organisation, number, id, kind, person_key, account, registry, orcid, previous_registry, previous_orcid, at)!
-- News for the organisation.
insert into changes (
    organisation, number, id, kind, person_key, account, registry, orcid, previous_registry, previous_orcid, at
)
values (
    :organisation, :number, :id, :kind, :person_key, :account,
    :registry, :orcid, :previous_registry, :previous_orcid, :at
);

-- name: changes_after(organisation, after, limit)
-- The next changes of an organisation, oldest first.
select *
from changes
where organisation = :organisation
    and number > :after
order by number
limit :limit;

-- name: change_of_number(organisation, number)^
-- The change of this number, if it is kept.
select *
from changes
where organisation = :organisation
    and number = :number;

-- name: newest_change_of(organisation, person_key)^
-- The newest change of a person that is kept, if any.
select *
from changes
where organisation = :organisation
    and person_key = :person_key
order by number desc
limit 1;

-- name: oldest_change(organisation)^
-- The number of the organisation's oldest change that is kept, if any, of the one that will come next, and up to which
-- some may be gone. One statement, so that all are of one moment.
select
    changes + 1 as next,
    forgotten,
    (
        select min(changes.number)
        from changes
        where changes.organisation = counters.organisation
    ) as oldest
from counters
where organisation = :organisation;

-- name: organisations()
-- Every organisation about which anything was ever written.
select organisation
from counters
order by organisation;

-- name: kept_from(organisation, before)^
-- The number of the first change that has to stay, and of the oldest that is there, if any. What has to stay begins
-- with the first that is young or still owed, or else with the one that will come next.
select
    (
        select min(bound)
        from (
            select counters.changes + 1 as bound
            from counters
            where counters.organisation = :organisation
            union all
            select min(young.number)
            from changes as young
            where young.organisation = :organisation
                and young.at >= :before
            union all
            select min(deliveries.number)
            -- cross join: SQLite keeps to this order, and reads what is not done instead of all that is
            from breakers
            cross join deliveries
            where breakers.organisation = :organisation
                and deliveries.organisation = breakers.organisation
                and deliveries.transfer = breakers.transfer
                and deliveries.state in ('waiting', 'given-up')
        ) as bounds
    ) as first,
    (
        select min(changes.number)
        from changes
        where changes.organisation = :organisation
    ) as oldest;

-- name: forget_changes(organisation, until)!
-- How many changes before this number were there.
delete from changes
where organisation = :organisation
    and number < :until;

-- name: acknowledge(organisation, number, now)!
-- One if the organisation has come further than it had, and not further than there are changes.
insert into acknowledgements (organisation, number, at)
select :organisation, :number, :now
from counters
where organisation = :organisation
    and changes >= :number
on conflict (organisation) do update
set number = excluded.number,
    at = excluded.at
where acknowledgements.number < excluded.number;

-- name: acknowledged(organisation)^
-- How far the organisation has come, and when it said so.
select number, at
from acknowledgements
where organisation = :organisation;
