-- name: add_breaker(organisation, transfer)!
-- The transfer is known from now on.
insert into breakers (organisation, transfer, failures)
values (:organisation, :transfer, 0)
on conflict (organisation, transfer) do nothing;

-- name: add_delivery(organisation, number, transfer, kind, person_key, now)!
-- A change is owed to a transfer.
insert into deliveries (
    organisation, number, transfer, kind, person_key, state, message, attempts, created_at, waiting_since, next_at
)
values (
    :organisation, :number, :transfer, :kind, :person_key, 'waiting', '', 0, :now, :now, :now
);

-- name: open_ways(now)
-- The transfers to which something is due, the longest due first; those to be probed are said.
select
    breakers.organisation,
    breakers.transfer,
    breakers.open_until is not null as probing,
    (
        select due.next_at
        from deliveries as due
        where due.organisation = breakers.organisation
            and due.transfer = breakers.transfer
            and due.state = 'waiting'
            and due.next_at <= :now
            and (due.leased_until is null or due.leased_until <= :now)
        order by due.next_at
        limit 1
    ) as since
from breakers
where exists (
        select 1
        from deliveries as due
        where due.organisation = breakers.organisation
            and due.transfer = breakers.transfer
            and due.state = 'waiting'
            and due.next_at <= :now
            and (due.leased_until is null or due.leased_until <= :now)
    )
    and (
        breakers.open_until is null
        or (
            breakers.open_until <= :now
            and not exists (
                select 1
                from deliveries as sent
                where sent.organisation = breakers.organisation
                    and sent.transfer = breakers.transfer
                    and sent.leased_until > :now
            )
        )
    )
order by since, breakers.organisation, breakers.transfer;

-- name: claim_some(organisation, transfer, worker, until, now, limit)
-- The deliveries to one transfer that are the worker's now: due, in nobody's hands, and none for a person for whom an
-- earlier one still waits. What makes a delivery free is said twice, for it may have been finished meanwhile.
update deliveries
set leased_by = :worker,
    leased_until = :until,
    attempts = attempts + 1
where organisation = :organisation
    and transfer = :transfer
    and state = 'waiting'
    and (leased_until is null or leased_until <= :now)
    and number in (
        select due.number
        from deliveries as due
        where due.organisation = :organisation
            and due.transfer = :transfer
            and due.state = 'waiting'
            and due.next_at <= :now
            and (due.leased_until is null or due.leased_until <= :now)
            and not exists (
                select 1
                from deliveries as earlier
                where earlier.organisation = due.organisation
                    and earlier.person_key = due.person_key
                    and earlier.number < due.number
                    and earlier.transfer = due.transfer
                    and earlier.state = 'waiting'
            )
        order by due.next_at, due.number
        limit :limit
    )
returning organisation, number, transfer;

-- name: claim_change(organisation, number, worker, until, now)
-- The deliveries of one change that are the worker's now, by the same rules.
update deliveries
set leased_by = :worker,
    leased_until = :until,
    attempts = attempts + 1
where organisation = :organisation
    and number = :number
    and state = 'waiting'
    and next_at <= :now
    and (leased_until is null or leased_until <= :now)
    and not exists (
        select 1
        from deliveries as earlier
        where earlier.organisation = deliveries.organisation
            and earlier.person_key = deliveries.person_key
            and earlier.number < deliveries.number
            and earlier.transfer = deliveries.transfer
            and earlier.state = 'waiting'
    )
    and not exists (
        select 1
        from breakers
        where breakers.organisation = deliveries.organisation
            and breakers.transfer = deliveries.transfer
            and (
                breakers.open_until > :now
                or (
                    breakers.open_until <= :now
                    and exists (
                        select 1
                        from deliveries as sent
                        where sent.organisation = deliveries.organisation
                            and sent.transfer = deliveries.transfer
                            and sent.leased_until > :now
                    )
                )
            )
    )
returning organisation, number, transfer;

-- name: delivery(organisation, number, transfer)^
-- One delivery, with what it is to deliver.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.at
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.number
where deliveries.organisation = :organisation
    and deliveries.number = :number
    and deliveries.transfer = :transfer;

-- name: deliveries_of_change(organisation, number)
-- What became of one change.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.at
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.number
where deliveries.organisation = :organisation
    and deliveries.number = :number
order by deliveries.transfer;

-- name: deliveries_of_newest_change(organisation, person_key)
-- What became of a person's newest change.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.at
from changes
join deliveries on deliveries.organisation = changes.organisation
    and deliveries.number = changes.number
where changes.organisation = :organisation
    and changes.number = (
        select max(newest.number)
        from changes as newest
        where newest.organisation = :organisation
            and newest.person_key = :person_key
    )
order by deliveries.transfer;

-- name: deliveries_of_person(organisation, person_key, limit)
-- What became of a person's changes, newest first.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.at
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.number
where deliveries.organisation = :organisation
    and deliveries.person_key = :person_key
order by deliveries.created_at desc, deliveries.number desc, deliveries.transfer
limit :limit;

-- name: some_in_state(organisation, transfer, state, after, limit)
-- The next of those to one transfer that are in one state, oldest first.
select
    deliveries.*, changes.id, changes.account, changes.registry, changes.orcid,
    changes.previous_registry, changes.previous_orcid, changes.at
from deliveries
left join changes on changes.organisation = deliveries.organisation
    and changes.number = deliveries.number
where deliveries.organisation = :organisation
    and deliveries.state = :state
    and deliveries.transfer = :transfer
    and deliveries.number > :after
order by deliveries.number
limit :limit;

-- name: count_deliveries(organisation)
-- How many deliveries there are in each state, and when the oldest of them was made.
select transfer, state, count(*) as count, min(created_at) as oldest
from deliveries
where organisation = :organisation
group by transfer, state
order by transfer, state;

-- name: end_delivery(organisation, number, transfer, worker, leased_until, attempts, state, outcome, message, now)
-- The delivery, if it was still in the worker's hands; it is no longer.
update deliveries
set state = :state,
    outcome = :outcome,
    message = :message,
    tried_at = :now,
    finished_at = :now,
    leased_until = null,
    leased_by = null
where organisation = :organisation
    and number = :number
    and transfer = :transfer
    and state = 'waiting'
    and leased_by = :worker
    and leased_until = :leased_until
    and attempts = :attempts
returning organisation, number, transfer;

-- name: supersede(organisation, number, transfer, person_key)!
-- What was given up is done when later news of the same person has arrived in its place.
update deliveries
set state = 'done',
    outcome = 'superseded'
where organisation = :organisation
    and person_key = :person_key
    and number < :number
    and transfer = :transfer
    and state = 'given-up';

-- name: postpone_delivery(organisation, number, transfer, worker, leased_until, attempts, outcome, message, now, next_at)!
-- One if the delivery was still in the worker's hands; it waits until it is due again.
update deliveries
set outcome = :outcome,
    message = :message,
    tried_at = :now,
    next_at = :next_at,
    leased_until = null,
    leased_by = null
where organisation = :organisation
    and number = :number
    and transfer = :transfer
    and state = 'waiting'
    and leased_by = :worker
    and leased_until = :leased_until
    and attempts = :attempts;

-- name: release_delivery(organisation, number, transfer, worker, leased_until, attempts)!
-- One if the delivery was still in the worker's hands; it is as if it had never been.
update deliveries
set leased_until = null,
    leased_by = null,
    attempts = attempts - 1
where organisation = :organisation
    and number = :number
    and transfer = :transfer
    and state = 'waiting'
    and leased_by = :worker
    and leased_until = :leased_until
    and attempts = :attempts;

-- name: wait_again(organisation, transfer, now)!
-- How many of those given up to one transfer wait again. One stays whose person's next news is on its way right now,
-- for it would come after it, and one of which nothing is kept.
update deliveries
set state = 'waiting',
    attempts = 0,
    waiting_since = :now,
    next_at = :now,
    finished_at = null
where organisation = :organisation
    and transfer = :transfer
    and number in (
        select lost.number
        from deliveries as lost
        join changes on changes.organisation = lost.organisation
            and changes.number = lost.number
        where lost.organisation = :organisation
            and lost.transfer = :transfer
            and lost.state = 'given-up'
            and not exists (
                select 1
                from deliveries as later
                where later.organisation = lost.organisation
                    and later.person_key = lost.person_key
                    and later.number > lost.number
                    and later.transfer = lost.transfer
                    and later.state = 'waiting'
                    and later.leased_until is not null
            )
    );

-- name: wait_no_longer(organisation, transfer, now)!
-- How many of those that wait for a later time, in nobody's hands, are due now.
update deliveries
set next_at = :now
where organisation = :organisation
    and transfer = :transfer
    and state = 'waiting'
    and next_at > :now
    and leased_by is null;

-- name: note_failure(organisation, transfer, most, until)!
-- One more failure in a row; from the `most`-th on, the breaker is open.
insert into breakers (organisation, transfer, failures, open_until)
values (:organisation, :transfer, 1, case when :most <= 1 then :until end)
on conflict (organisation, transfer) do update
set failures = breakers.failures + 1,
    open_until = case when breakers.failures + 1 >= :most then :until else breakers.open_until end;

-- name: note_success(organisation, transfer)!
-- One if something had failed before; the breaker is closed.
update breakers
set failures = 0,
    open_until = null
where organisation = :organisation
    and transfer = :transfer
    and (failures > 0 or open_until is not null);

-- name: breakers_of(organisation)
-- The transfers of an organisation that have ever been owed something.
select *
from breakers
where organisation = :organisation
order by transfer;

-- name: links_with_owed(organisation, transfer, after, limit)
-- The next current links in the order of their persons' keys, each with the person's newest change that is kept, and with
-- `owed`: whether the transfer has been owed this link, which means that a delivery was made since the link was, and no
-- removal after it. Links are paged before anything else is looked up, so that the work of one statement is bounded.
-- A person has few deliveries: `|| ''` keeps both engines from reading those of the whole transfer for each link.
select
    links.id, links.person_key, links.account, links.registry, links.orcid, links.linked_at,
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
                    and later.number > deliveries.number
            )
    ) then 1 else 0 end as owed
from (
    select *
    from links
    where organisation = :organisation
        and person_key > :after
        and ended_at is null
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
