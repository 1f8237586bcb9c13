-- name: insert_mail
-- Writes a row unless this mail was sent: each is sent once. A new address replaces the previous one.
insert into mails (
    organisation, person_key, kind, change_number, address, language, requested_at, tries, next_try_at
)
values (:organisation, :person_key, :kind, :change_number, :address, :language, :now, 0, :now)
on conflict (organisation, person_key, kind, change_number) do update
set address = excluded.address,
    language = excluded.language
where mails.finished_at is null;

-- name: claim_mail
-- Moves next_try_at to :lease_expires_at for some mails that are due. One about deliveries is due when none of the
-- change's deliveries is waiting.
update mails
set tries = tries + 1,
    next_try_at = :lease_expires_at
where finished_at is null
    and next_try_at <= :now
    and (organisation, person_key, kind, change_number) in (
        select due.organisation, due.person_key, due.kind, due.change_number
        from mails as due
        where due.finished_at is null
            and due.next_try_at <= :now
            and (
                due.kind = 'receipt'
                or not exists (
                    select 1
                    from deliveries
                    where deliveries.organisation = due.organisation
                        and deliveries.change_number = due.change_number
                        and deliveries.state = 'waiting'
                )
            )
        order by due.next_try_at
        limit :limit
    )
returning *;

-- name: finish_mail
-- It was sent or given up; the address is deleted.
update mails
set address = null,
    finished_at = :now
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
    and change_number = :change_number;

-- name: reschedule_mail
update mails
set next_try_at = :next_try_at
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
    and change_number = :change_number
    and finished_at is null;

-- name: postpone_mail
-- Its claim does not count as a try.
update mails
set tries = tries - 1,
    next_try_at = :next_try_at
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
    and change_number = :change_number
    and finished_at is null;

-- name: list_mail_of_person
-- Newest first.
select *
from mails
where organisation = :organisation
    and person_key = :person_key
order by requested_at desc, kind, change_number desc
limit :limit;

-- name: delete_mail_of_person
delete from mails
where organisation = :organisation
    and person_key = :person_key;
