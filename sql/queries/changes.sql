-- name: hold_organisation(organisation)^
-- What the organisation's last change, last event and last hash were; its row is ours until the transaction ends.
-- The update changes nothing: it is there to hold the row, on both engines alike.
insert into counters (organisation, changes, events, last_event_hash)
values (:organisation, 0, 0, '')
on conflict (organisation) do update
set organisation = excluded.organisation
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
