-- name: some_forgettable(organisation, before, limit)
-- The oldest changes that have been settled since before a moment: nothing is owed of them any more.
select number
from changes
where organisation = :organisation
    and at < :before
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = changes.organisation
            and deliveries.number = changes.number
            and (deliveries.state = 'waiting' or deliveries.finished_at >= :before)
    )
order by number
limit :limit;

-- name: owed(organisation, number)
-- Something, if a change is still owed to anybody.
select transfer
from deliveries
where organisation = :organisation
    and number = :number
    and state = 'waiting'
limit 1;

-- name: forget_change(organisation, number)!
delete from changes
where organisation = :organisation
    and number = :number;

-- name: forget_deliveries(organisation, number)!
-- Where and when a change arrived stays; whose it was, and what the other side said of it, goes.
update deliveries
set person_key = null,
    message = ''
where organisation = :organisation
    and number = :number;

-- name: forget_links(organisation, person_key)!
delete from links
where id in (
    select held.id
    from links as held
    where held.organisation = :organisation
        and held.person_key = :person_key
        and held.ended_at is null
    union all
    select ended.id
    from links as ended
    where ended.organisation = :organisation
        and ended.person_key = :person_key
        and ended.ended_at is not null
);

-- name: forget_closed_attempts(organisation, person_key)
-- The attempts of a person that were over; what is to be counted of each.
delete from attempts
where organisation = :organisation
    and person_key = :person_key
    and closed_at is not null
returning organisation, started_at, closed_at, outcome;

-- name: forget_attempts(organisation, person_key)
-- The attempts of a person; what is to be counted of each.
delete from attempts
where organisation = :organisation
    and person_key = :person_key
returning organisation, started_at, closed_at, outcome;
