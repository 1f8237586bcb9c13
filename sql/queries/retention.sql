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
