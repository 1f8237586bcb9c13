-- name: list_links_of_seen_people
-- A page of an organisation's current links, by person_key: what tells whether a list of accounts can end them.
select id, person_key, account, linked_at, consent_at, last_seen_on, source
from links
where organisation = :organisation
    and person_key > :after
    and ended_at is null
order by person_key
limit :limit;

-- name: insert_pending_removal
insert into pending_removals (organisation, person_key, link_id, actor, source, credential, requested_at, due_at)
values (:organisation, :person_key, :link_id, :actor, :source, :credential, :requested_at, :due_at);

-- name: get_pending_removals
-- How many of an organisation's links are going to be removed, by which list, and when. All rows are of one list.
select
    count(*) as count,
    min(requested_at) as requested_at,
    min(due_at) as due_at,
    min(source) as source,
    min(credential) as credential
from pending_removals
where organisation = :organisation;

-- name: list_organisations_of_due_removals
select distinct organisation
from pending_removals
where due_at <= :now
order by organisation;

-- name: list_due_removals
-- The removals of an organisation that are due, oldest first.
select *
from pending_removals
where organisation = :organisation
    and due_at <= :now
order by due_at, person_key
limit :limit;

-- name: delete_pending_removal
delete from pending_removals
where organisation = :organisation
    and person_key = :person_key;

-- name: take_due_removal
-- Deletes a removal that is due, and returns it.
delete from pending_removals
where organisation = :organisation
    and person_key = :person_key
    and due_at <= :now
returning link_id, actor, source;

-- name: delete_pending_removals
-- All of an organisation.
delete from pending_removals
where organisation = :organisation;
