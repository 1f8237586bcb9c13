-- name: insert_circuit_breaker
-- Makes the transfer known; does nothing where it is.
insert into circuit_breakers (organisation, transfer, consecutive_failures)
values (:organisation, :transfer, 0)
on conflict (organisation, transfer) do nothing;

-- name: insert_delivery
insert into deliveries (
    organisation, change_number, transfer, kind, person_key, state, message, tries, created_at, queued_at,
    next_try_at
)
values (
    :organisation, :change_number, :transfer, :kind, :person_key, 'waiting', '', 0, :now, :now, :now
);

-- name: list_due_transfers
-- The transfers with a due delivery whose circuit breaker is closed or half-open, longest due first. A half-open one
-- with a leased delivery is left out. A delivery that waits for an earlier one counts as due, but cannot be claimed.
-- Here and below, `offset 0` keeps PostgreSQL from joining a subquery, which without statistics reads all that waits.
select
    circuit_breakers.organisation,
    circuit_breakers.transfer,
    circuit_breakers.open_until is not null as half_open,
    (
        select due.next_try_at
        from deliveries as due
        where due.organisation = circuit_breakers.organisation
            and due.transfer = circuit_breakers.transfer
            and due.state = 'waiting'
            and due.next_try_at <= :now
            and (due.lease_expires_at is null or due.lease_expires_at <= :now)
        order by due.next_try_at
        limit 1
    ) as due_since
from circuit_breakers
where exists (
        select 1
        from deliveries as due
        where due.organisation = circuit_breakers.organisation
            and due.transfer = circuit_breakers.transfer
            and due.state = 'waiting'
            and due.next_try_at <= :now
            and (due.lease_expires_at is null or due.lease_expires_at <= :now)
        limit 1 offset 0
    )
    and (
        circuit_breakers.open_until is null
        or (
            circuit_breakers.open_until <= :now
            and not exists (
                select 1
                from deliveries as sent
                where sent.organisation = circuit_breakers.organisation
                    and sent.transfer = circuit_breakers.transfer
                    and sent.lease_expires_at > :now
            )
        )
    )
order by due_since, circuit_breakers.organisation, circuit_breakers.transfer;

-- name: claim_deliveries
-- Leases deliveries of one transfer that are due and not leased, except those that share the person or an iD with an
-- earlier one that is waiting.
-- Conditions are repeated outside the subquery because another transaction may have finished a delivery meanwhile.
with free as materialized (
    select due.organisation, due.change_number, due.transfer
    from deliveries as due
    where due.organisation = :organisation
        and due.transfer = :transfer
        and due.state = 'waiting'
        and due.next_try_at <= :now
        and (due.lease_expires_at is null or due.lease_expires_at <= :now)
        and not exists (
            select 1
            from related_deliveries as earlier
            where earlier.organisation = due.organisation
                and earlier.related_to = due.change_number
                and earlier.transfer = due.transfer
                and earlier.change_number < due.change_number
                and earlier.finished_at is null
            limit 1 offset 0
        )
    order by due.next_try_at, due.change_number
    limit :limit
)
update deliveries
set leased_by = :worker,
    lease_expires_at = :lease_expires_at,
    tries = tries + 1
from free
where deliveries.organisation = free.organisation
    and deliveries.change_number = free.change_number
    and deliveries.transfer = free.transfer
    and deliveries.state = 'waiting'
    and (deliveries.lease_expires_at is null or deliveries.lease_expires_at <= :now)
returning deliveries.organisation, deliveries.change_number, deliveries.transfer;

-- name: claim_deliveries_of_change
-- Leases the deliveries of one change under the same conditions, except those to a transfer whose circuit breaker is
-- open, or half-open with a leased delivery.
update deliveries
set leased_by = :worker,
    lease_expires_at = :lease_expires_at,
    tries = tries + 1
where organisation = :organisation
    and change_number = :change_number
    and state = 'waiting'
    and next_try_at <= :now
    and (lease_expires_at is null or lease_expires_at <= :now)
    and not exists (
        select 1
        from related_deliveries as earlier
        where earlier.organisation = deliveries.organisation
            and earlier.related_to = deliveries.change_number
            and earlier.transfer = deliveries.transfer
            and earlier.change_number < deliveries.change_number
            and earlier.finished_at is null
        limit 1 offset 0
    )
    and not exists (
        select 1
        from circuit_breakers
        where circuit_breakers.organisation = deliveries.organisation
            and circuit_breakers.transfer = deliveries.transfer
            and (
                circuit_breakers.open_until > :now
                or (
                    circuit_breakers.open_until <= :now
                    and exists (
                        select 1
                        from deliveries as sent
                        where sent.organisation = deliveries.organisation
                            and sent.transfer = deliveries.transfer
                            and sent.lease_expires_at > :now
                    )
                )
            )
    )
returning organisation, change_number, transfer;

-- name: get_delivery
-- One delivery with its change.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.change_number
where deliveries.organisation = :organisation
    and deliveries.change_number = :change_number
    and deliveries.transfer = :transfer;

-- name: get_earlier_waiting_delivery
-- A row if a delivery to the same transfer is waiting whose earlier change shares the person or an iD.
select change_number
from related_deliveries
where organisation = :organisation
    and related_to = :change_number
    and transfer = :transfer
    and change_number < :change_number
    and finished_at is null
limit 1;

-- name: list_missed_changes
-- Earlier changes of a person that took an iD away and have not arrived, since the last delivery that has.
select changes.*
from deliveries as missed
join changes on changes.organisation = missed.organisation
    and changes.number = missed.change_number
where missed.organisation = :organisation
    and missed.person_key = :person_key
    and missed.transfer || '' = :transfer
    and missed.change_number + 0 < :change_number
    and (missed.state = 'dead-letter' or missed.outcome = 'superseded')
    and (
        changes.previous_orcid is not null
        or (
            changes.previous_person_key is not null
            and not exists (
                select 1
                from deliveries as anew
                where anew.organisation = missed.organisation
                    and anew.person_key = changes.previous_person_key
                    and anew.transfer || '' = missed.transfer
                    and anew.change_number + 0 > missed.change_number
            )
        )
    )
    and not exists (
        select 1
        from deliveries as arrived
        where arrived.organisation = missed.organisation
            and arrived.person_key = missed.person_key
            and arrived.transfer || '' = missed.transfer
            and arrived.state = 'done'
            and arrived.change_number + 0 > missed.change_number
            and arrived.change_number + 0 < :change_number
            and arrived.outcome <> 'superseded'
    )
order by missed.change_number + 0;

-- name: list_deliveries_of_change
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.change_number
where deliveries.organisation = :organisation
    and deliveries.change_number = :change_number
order by deliveries.transfer;

-- name: list_deliveries_of_newest_change
-- Those of a person's newest change that is kept.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from changes
join deliveries on deliveries.organisation = changes.organisation
    and deliveries.change_number = changes.number
where changes.organisation = :organisation
    and changes.number = (
        select max(newest.number)
        from changes as newest
        where newest.organisation = :organisation
            and newest.person_key = :person_key
    )
order by deliveries.transfer;

-- name: list_deliveries_of_person
-- Newest first.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.change_number
where deliveries.organisation = :organisation
    and deliveries.person_key = :person_key
order by deliveries.created_at desc, deliveries.change_number desc, deliveries.transfer
limit :limit;

-- name: get_newest_delivery_to_transfer
-- A person's newest one. A person has few deliveries: `|| ''` keeps both engines from reading all of the transfer's.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.change_number
where deliveries.organisation = :organisation
    and deliveries.person_key = :person_key
    and deliveries.transfer || '' = :transfer
order by deliveries.change_number desc
limit 1;

-- name: list_deliveries_in_state
-- A page of one transfer's deliveries in one state, oldest first.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.previous_person_key, changes.previous_account,
    changes.at, changes.reason, changes.attested_by
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.change_number
where deliveries.organisation = :organisation
    and deliveries.state = :state
    and deliveries.transfer = :transfer
    and deliveries.change_number > :after
order by deliveries.change_number
limit :limit;

-- name: count_deliveries
-- Number of deliveries by transfer and state, and when the oldest of each was created.
select transfer, state, count(*) as count, min(created_at) as oldest
from deliveries
where organisation = :organisation
group by transfer, state
order by transfer, state;

-- name: finish_delivery
-- Returns a row if the worker still held this lease.
update deliveries
set state = :state,
    outcome = :outcome,
    message = :message,
    last_try_at = :now,
    finished_at = :now,
    lease_expires_at = null,
    leased_by = null
where organisation = :organisation
    and change_number = :change_number
    and transfer = :transfer
    and state = 'waiting'
    and leased_by = :worker
    and lease_expires_at = :lease_expires_at
    and tries = :tries
returning organisation, change_number, transfer;

-- name: supersede_dead_letters
-- A later change of the same person has arrived, which makes its earlier dead letters unnecessary.
update deliveries
set state = 'done',
    outcome = 'superseded'
where organisation = :organisation
    and person_key = :person_key
    and change_number < :change_number
    and transfer = :transfer
    and state = 'dead-letter';

-- name: reschedule_delivery
-- Changes a row if the worker still held this lease.
update deliveries
set outcome = :outcome,
    message = :message,
    last_try_at = :now,
    next_try_at = :next_try_at,
    lease_expires_at = null,
    leased_by = null
where organisation = :organisation
    and change_number = :change_number
    and transfer = :transfer
    and state = 'waiting'
    and leased_by = :worker
    and lease_expires_at = :lease_expires_at
    and tries = :tries;

-- name: retry_dead_letters
-- Queues the dead letters of one transfer again, except those whose change is deleted, and those that share the person
-- or an iD with a later delivery that is leased now: they would arrive after it.
update deliveries
set state = 'waiting',
    tries = 0,
    queued_at = :now,
    next_try_at = :now,
    finished_at = null
where organisation = :organisation
    and transfer = :transfer
    and change_number in (
        select lost.change_number
        from deliveries as lost
        join changes on changes.organisation = lost.organisation
            and changes.number = lost.change_number
        where lost.organisation = :organisation
            and lost.transfer = :transfer
            and lost.state = 'dead-letter'
            and lost.change_number not in (
                select earlier.change_number
                from deliveries as later
                join related_deliveries as earlier on earlier.organisation = later.organisation
                    and earlier.related_to = later.change_number
                    and earlier.transfer = later.transfer
                    and earlier.change_number < later.change_number
                where later.organisation = :organisation
                    and later.transfer = :transfer
                    and later.lease_expires_at is not null
            )
    );

-- name: expedite_deliveries
-- Makes deliveries due now that wait for a later time and are not leased.
update deliveries
set next_try_at = :now
where organisation = :organisation
    and transfer = :transfer
    and state = 'waiting'
    and next_try_at > :now
    and leased_by is null;

-- name: record_transfer_failure
-- Counts a failure; opens the circuit breaker from the :failure_threshold-th in a row on. It stays open no shorter than
-- an earlier failure asked for.
insert into circuit_breakers (organisation, transfer, consecutive_failures, open_until)
values (:organisation, :transfer, 1, case when :failure_threshold <= 1 then :open_until end)
on conflict (organisation, transfer) do update
set consecutive_failures = circuit_breakers.consecutive_failures + 1,
    open_until = case
        when circuit_breakers.consecutive_failures + 1 >= :failure_threshold
            and (circuit_breakers.open_until is null or circuit_breakers.open_until < :open_until)
            then :open_until
        else circuit_breakers.open_until
    end;

-- name: record_transfer_success
-- Closes the circuit breaker.
update circuit_breakers
set consecutive_failures = 0,
    open_until = null
where organisation = :organisation
    and transfer = :transfer
    and (consecutive_failures > 0 or open_until is not null);

-- name: list_circuit_breakers
-- The transfers of an organisation that were ever owed a delivery.
select *
from circuit_breakers
where organisation = :organisation
order by transfer;

-- name: list_removals_for_backfill
-- A page by person_key of the people who had a delivery of the transfer, each with the newest link that has ended, with
-- the number of the person's newest change that is kept, and with `owed`: 0 if a link was delivered or waits, the person
-- has no link now, and no removal was queued for the transfer.
select
    sent.person_key, ended.id, ended.account, ended.registry, ended.orcid, ended.linked_at, ended.record_state,
    newest.number, newest.kind,
    case when sent.kind <> 'removed'
        and ended.id is not null
        and (newest.kind is null or newest.kind = 'removed')
        and not exists (
            select 1
            from links as current_link
            where current_link.organisation = :organisation
                and current_link.person_key = sent.person_key
                and current_link.ended_at is null
        )
        and exists (
            select 1
            from deliveries as arrived
            where arrived.organisation = :organisation
                and arrived.person_key = sent.person_key
                and arrived.transfer || '' = :transfer
                and arrived.state in ('waiting', 'done')
                and coalesce(arrived.outcome, '') <> 'superseded'
                and arrived.kind <> 'removed'
        )
        then 0 else 1
    end as owed
from (
    select person_key, max(change_number) as change_number
    from deliveries
    where organisation = :organisation
        and transfer = :transfer
        and person_key > :after
    group by person_key
    order by person_key
    limit :limit
) as latest
join deliveries as sent on sent.organisation = :organisation
    and sent.change_number = latest.change_number
    and sent.transfer = :transfer
left join links as ended on ended.id = (
    select former.id
    from links as former
    where former.organisation = :organisation
        and former.person_key = latest.person_key
        and former.ended_at is not null
    order by former.linked_at desc
    limit 1
)
left join changes as newest on newest.organisation = :organisation
    and newest.number = (
        select max(changes.number)
        from changes
        where changes.organisation = :organisation
            and changes.person_key = latest.person_key
    )
order by sent.person_key;

-- name: list_links_for_backfill
-- A page of released links by person_key, each with the person's newest change that is kept, and with `owed`: whether the
-- transfer has had a delivery of this link, that is, one that was created since the link was made and that no removal
-- followed. The links are limited before anything is joined, which bounds the work of one statement.
-- A person has few deliveries: `|| ''` keeps both engines from reading all of the transfer's for each link.
select
    links.id, links.person_key, links.account, links.registry, links.orcid, links.linked_at, links.record_state,
    newest.number, newest.kind, newest.registry as newest_registry, newest.orcid as newest_orcid,
    case when exists (
        select 1
        from deliveries
        where deliveries.organisation = links.organisation
            and deliveries.person_key = links.person_key
            and deliveries.transfer || '' = :transfer
            and deliveries.created_at >= links.linked_at
            and deliveries.kind <> 'removed'
            and not exists (
                select 1
                from deliveries as later
                where later.organisation = deliveries.organisation
                    and later.person_key = deliveries.person_key
                    and later.transfer || '' = :transfer
                    and later.kind = 'removed'
                    and later.change_number > deliveries.change_number
            )
    ) then 1 else 0 end as owed
from (
    select *
    from links
    where organisation = :organisation
        and person_key > :after
        and ended_at is null
        and suspended_at is null
    order by person_key
    limit :limit
) as links
left join changes as newest on newest.organisation = links.organisation
    and newest.number = (
        select max(changes.number)
        from changes
        where changes.organisation = links.organisation
            and changes.person_key = links.person_key
    )
order by links.person_key;
