-- name: list_expired_changes
-- The oldest changes that were made, and whose deliveries were all finished, before a time.
select number
from changes
where organisation = :organisation
    and at < :before
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = changes.organisation
            and deliveries.change_number = changes.number
            and (deliveries.state = 'waiting' or deliveries.finished_at >= :before)
    )
order by number
limit :limit;

-- name: get_waiting_delivery_of_change
-- A row if any delivery of the change is waiting.
select transfer
from deliveries
where organisation = :organisation
    and change_number = :number
    and state = 'waiting'
limit 1;

-- name: delete_change
delete from changes
where organisation = :organisation
    and number = :number;

-- name: anonymise_deliveries_of_change
-- Keeps where and when the change arrived; deletes the person and what the receiver said.
update deliveries
set person_key = null,
    message = ''
where organisation = :organisation
    and change_number = :number;

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
-- How many of an organisation's links are going to be removed, by which list, and when.
select count(*) as count, min(requested_at) as requested_at, min(due_at) as due_at
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
returning link_id, actor, source, credential;

-- name: delete_pending_attested_removals
-- All of an organisation that a list of attested iDs led to; with a source, one of that system.
delete from pending_removals
where organisation = :organisation
    and source = coalesce(:source, source);

-- name: delete_pending_removals
-- All of an organisation.
delete from pending_removals
where organisation = :organisation;
