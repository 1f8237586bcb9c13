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
    last_event_hash = :last_event_hash,
    key_attribute = coalesce(key_attribute, :key_attribute)
where organisation = :organisation;

-- name: list_organisations
-- Every organisation about which anything was ever written.
select organisation
from organisations
order by organisation;

-- name: list_organisations_with_links
-- Every organisation about which anything was ever written, with the number of its current links.
select
    organisations.organisation,
    organisations.key_attribute,
    organisations.merged_into,
    (
        select count(*)
        from links
        where links.organisation = organisations.organisation
            and links.ended_at is null
    ) as links
from organisations
order by organisations.organisation;

-- name: get_merged_into
select merged_into
from organisations
where organisation = :organisation;

-- name: set_merged_into
update organisations
set merged_into = :into
where organisation = :organisation;

-- name: set_key_attribute
update organisations
set key_attribute = :key_attribute
where organisation = :organisation;

-- name: count_holder_attributes
-- How many current links have a value of each attribute that distinguishes holders of an account.
select
    count(*) as links,
    count(nullif(stable_id, '')) as stable_ids,
    count(nullif(account_issued_at, '')) as issue_times
from links
where organisation = :organisation
    and ended_at is null;

-- name: count_links_by_scope
-- The number of current links by what follows the last @ of the key. Both engines trim all characters before it: those
-- of the key without any @.
select
    substr(person_key, length(rtrim(person_key, replace(person_key, '@', ''))) + 1) as scope,
    count(*) as count
from links
where organisation = :organisation
    and ended_at is null
group by 1
order by 1;

-- name: record_provider_sign_in
insert into identity_providers (organisation, entity_id, signed_in_at)
values (:organisation, :entity_id, :now)
on conflict (organisation, entity_id) do update
set signed_in_at = excluded.signed_in_at;

-- name: record_provider_refusal
insert into identity_providers (organisation, entity_id, refused_at)
values (:organisation, :entity_id, :now)
on conflict (organisation, entity_id) do update
set refused_at = excluded.refused_at;

-- name: copy_identity_providers
-- Those of a merged organisation become those of the other one.
insert into identity_providers (organisation, entity_id, signed_in_at, refused_at)
select :into, entity_id, signed_in_at, refused_at
from identity_providers as merged
where merged.organisation = :organisation
on conflict (organisation, entity_id) do nothing;

-- name: delete_identity_providers
delete from identity_providers
where organisation = :organisation;

-- name: list_identity_providers
select *
from identity_providers
order by organisation, entity_id;
