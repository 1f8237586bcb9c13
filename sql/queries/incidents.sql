-- name: insert_incident
-- Does nothing where the number is there already.
insert into incidents (number, at, code, organisation, route)
values (:number, :at, :code, :organisation, :route)
on conflict (number) do nothing;

-- name: get_incident
select *
from incidents
where number = :number;

-- name: delete_old_incidents
-- Deletes those older than a time, and those that are older than the :limit newest.
delete from incidents
where at < :before
    or at < coalesce(
        (
            select newer.at
            from incidents as newer
            order by newer.at desc
            limit 1
            offset :limit
        ),
        ''
    );
