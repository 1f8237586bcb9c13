-- name: lock_organisation
-- Locks the organisation's row until the transaction ends and returns the last numbers given.
-- The update changes nothing; it takes the lock on both engines alike. An update of the key would also write its index.
insert into organisations (organisation, last_change_number, last_event_number, last_event_hash)
values (:organisation, 0, 0, '')
on conflict (organisation) do update
set last_change_number = organisations.last_change_number
returning last_change_number, last_event_number, last_event_hash;

-- name: update_organisation
update organisations
set last_change_number = :last_change_number,
    last_event_number = :last_event_number,
    last_event_hash = :last_event_hash
where organisation = :organisation;

-- name: list_organisations
-- Every organisation about which anything was ever written.
select organisation
from organisations
order by organisation;
