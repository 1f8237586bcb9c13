-- name: ask_mail(organisation, person_key, kind, change_number, address, language, now)!
-- One if the mail is to be sent; none when it was, for each is sent once. Another address takes the place of the first.
insert into mails (
    organisation, person_key, kind, change_number, address, language, asked_at, attempts, next_at
)
values (:organisation, :person_key, :kind, :change_number, :address, :language, :now, 0, :now)
on conflict (organisation, person_key, kind, change_number) do update
set address = excluded.address,
    language = excluded.language
where mails.ended_at is null;

-- name: claim_mails(now, until, limit)
-- Some mails that are due, which nobody else is given until then. News of an arrival is due when nothing waits any more.
update mails
set attempts = attempts + 1,
    next_at = :until
where ended_at is null
    and next_at <= :now
    and (organisation, person_key, kind, change_number) in (
        select due.organisation, due.person_key, due.kind, due.change_number
        from mails as due
        where due.ended_at is null
            and due.next_at <= :now
            and (
                due.kind = 'receipt'
                or not exists (
                    select 1
                    from deliveries
                    where deliveries.organisation = due.organisation
                        and deliveries.number = due.change_number
                        and deliveries.state = 'waiting'
                )
            )
        order by due.next_at
        limit :limit
    )
returning *;

-- name: end_mail(organisation, person_key, kind, change_number, now)!
-- It is sent or given up, and the address goes.
update mails
set address = null,
    ended_at = :now
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
    and change_number = :change_number;

-- name: postpone_mail(organisation, person_key, kind, change_number, next_at)!
update mails
set next_at = :next_at
where organisation = :organisation
    and person_key = :person_key
    and kind = :kind
    and change_number = :change_number
    and ended_at is null;

-- name: mails_of_person(organisation, person_key, limit)
-- What a person asked to be sent, the newest first.
select *
from mails
where organisation = :organisation
    and person_key = :person_key
order by asked_at desc, kind, change_number desc
limit :limit;

-- name: forget_mails(organisation, person_key)!
delete from mails
where organisation = :organisation
    and person_key = :person_key;
