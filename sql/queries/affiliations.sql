-- name: lock_current_link
-- A row if the link is current. In a transaction that holds the organisation's row lock, it stays so.
select id, person_key
from links
where id = :link_id
    and organisation = :organisation
    and ended_at is null;

-- name: get_affiliation_permission
select affiliation_permissions.*, consent_texts.version, consent_texts.language, consent_texts.text
from affiliation_permissions
join consent_texts on consent_texts.digest = affiliation_permissions.consent_digest
where affiliation_permissions.link_id = :link_id;

-- name: list_affiliation_permissions_of_person
-- Of the current and of former links.
select affiliation_permissions.*, consent_texts.version, consent_texts.language, consent_texts.text
from links as owner
join affiliation_permissions on affiliation_permissions.link_id = owner.id
join consent_texts on consent_texts.digest = affiliation_permissions.consent_digest
where owner.organisation = :organisation
    and owner.person_key = :person_key
order by affiliation_permissions.consent_at desc, affiliation_permissions.link_id
limit :limit;

-- name: list_affiliation_items_of_person
-- Of the current and of former links.
select affiliation_items.*, owner.registry, owner.orcid
from links as owner
join affiliation_items on affiliation_items.link_id = owner.id
where owner.organisation = :organisation
    and owner.person_key = :person_key
order by affiliation_items.changed_at desc, affiliation_items.link_id, affiliation_items.section
limit :limit;

-- name: set_affiliation_permission
insert into affiliation_permissions (link_id, consent_digest, consent_at, sections, department, title, said_at)
values (:link_id, :consent_digest, :now, :sections, :department, :title, :now)
on conflict (link_id) do update
set consent_digest = excluded.consent_digest,
    consent_at = excluded.consent_at,
    sections = excluded.sections,
    department = excluded.department,
    title = excluded.title,
    said_at = excluded.said_at,
    refused_at = null;

-- name: update_said_affiliation
-- Changes a row if it says something else.
update affiliation_permissions
set sections = :sections,
    department = :department,
    title = :title,
    said_at = :now
where link_id = :link_id
    and (sections <> :sections or department <> :department or title <> :title);

-- name: set_affiliation_refused
-- Changes a row if it was not refused before.
update affiliation_permissions
set refused_at = :now
where link_id = :link_id
    and refused_at is null;

-- name: clear_affiliation_refused
update affiliation_permissions
set refused_at = null
where link_id = :link_id
    and refused_at is not null;

-- name: delete_affiliation_permission
delete from affiliation_permissions
where link_id = :link_id;

-- name: delete_deleted_affiliation_items
-- Those that the person deleted at ORCID: with a new permission they may be written again.
delete from affiliation_items
where link_id = :link_id
    and state = 'deleted';

-- name: insert_affiliation_item
-- In place of one that another client wrote, and that has ended.
insert into affiliation_items (link_id, section, client_id, state, changed_at)
values (:link_id, :section, :client_id, 'pending', :now)
on conflict (link_id, section) do update
set client_id = excluded.client_id,
    put_code = null,
    state = excluded.state,
    changed_at = excluded.changed_at;

-- name: list_affiliation_links
-- The links of an organisation with something to write or to end: current ones with a permission, and those with an
-- item that is not ended.
select links.id, links.person_key, links.account, links.registry, links.orcid, links.linked_at, links.record_state,
    links.ended_at
from links
where links.organisation = :organisation
    and (
        links.ended_at is null
        and links.id in (select affiliation_permissions.link_id from affiliation_permissions)
        or links.id in (
            select affiliation_items.link_id
            from affiliation_items
            where affiliation_items.state in ('pending', 'written')
        )
    )
order by links.id;

-- name: count_affiliation_items
-- The items that are not ended, by organisation.
select links.organisation, count(*) as count
from affiliation_items
join links on links.id = affiliation_items.link_id
where affiliation_items.state in ('pending', 'written')
group by links.organisation
order by links.organisation;

-- name: count_affiliation_items_to_end
-- The items of an organisation that have to be ended, though no delivery waits that does so: those without a current
-- link or a permission, and those of another client.
select count(*) as count
from affiliation_items
join links on links.id = affiliation_items.link_id
left join affiliation_permissions on affiliation_permissions.link_id = links.id
where links.organisation = :organisation
    and affiliation_items.state in ('pending', 'written')
    and (
        links.ended_at is not null
        or affiliation_permissions.link_id is null
        or affiliation_items.client_id <> :client_id
    )
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = links.organisation
            and deliveries.person_key = links.person_key
            and deliveries.transfer || '' = :transfer
            and deliveries.state || '' = 'waiting'
    );

-- name: set_affiliation_item
update affiliation_items
set put_code = :put_code,
    state = :state,
    changed_at = :now
where link_id = :link_id
    and section = :section;

-- name: delete_affiliation_item
delete from affiliation_items
where link_id = :link_id
    and section = :section;

-- name: get_newest_delivery_of_person
-- The newest delivery of a person to a transfer whose change is kept, and the person's newest change that is kept.
-- `+ 0` keeps SQLite from the primary key, by which it would read all deliveries of the organisation.
select
    changes.number,
    (
        select max(deliveries.change_number + 0)
        from deliveries
        join changes as delivered on delivered.organisation = deliveries.organisation
            and delivered.number = deliveries.change_number
        where deliveries.organisation = :organisation
            and deliveries.person_key = :person_key
            and deliveries.transfer = :transfer
    ) as delivered_number,
    changes.kind
from (select 1 as one) as always
left join changes on changes.organisation = :organisation
    and changes.number = (
        select max(newest.number)
        from changes as newest
        where newest.organisation = :organisation
            and newest.person_key = :person_key
    );

-- name: requeue_delivery
-- Makes a delivery wait again. A try that runs now keeps its lease until it expires, so that no other one runs beside
-- it, but cannot finish the delivery: the number of tries is part of its lease.
update deliveries
set state = 'waiting',
    tries = 0,
    queued_at = :now,
    next_try_at = :now,
    finished_at = null
where organisation = :organisation
    and change_number = :change_number
    and transfer = :transfer;

-- name: reserve_request_slot
-- Returns when the slot after the reserved one begins; no row if the next free one begins more than :longest later. One
-- that begins even later was reserved by a machine with a wrong clock, and does not count.
insert into request_slots (client_id, next_at)
values (:client_id, :now + :interval)
on conflict (client_id) do update
set next_at = case
        when request_slots.next_at > :now and request_slots.next_at <= :now + 2 * :longest then request_slots.next_at
        else :now
    end + :interval
where request_slots.next_at <= :now + :longest
    or request_slots.next_at > :now + 2 * :longest
returning next_at;
