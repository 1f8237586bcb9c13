-- name: insert_change
insert into changes (
    organisation, number, id, kind, person_key, account, previous_person_key, previous_account,
    registry, orcid, previous_registry, previous_orcid, at, reason, attested_by
)
values (
    :organisation, :number, :id, :kind, :person_key, :account, :previous_person_key, :previous_account,
    :registry, :orcid, :previous_registry, :previous_orcid, :at, :reason, :attested_by
);

-- name: get_change
select *
from changes
where organisation = :organisation
    and number = :number;

-- name: get_newest_change_of_person
-- The newest one that is kept.
select *
from changes
where organisation = :organisation
    and person_key = :person_key
order by number desc
limit 1;

-- name: get_newest_change_number_of_person
-- One row; null where no change of the person is kept.
select max(number) as number
from changes
where organisation = :organisation
    and person_key = :person_key;

-- name: has_change_of_others
-- Whether a change of the person or of the iD is kept that is not the credential's own.
select
    exists (
        select 1
        from changes
        where organisation || '' = :organisation
            and person_key = :person_key
            and coalesce(attested_by, '') <> :credential
    )
    or exists (
        select 1
        from changes
        where organisation = :organisation
            and previous_person_key = :person_key
    )
    or exists (
        select 1
        from changes
        where organisation = :organisation
            and orcid = :orcid
            and coalesce(attested_by, '') <> :credential
    )
    or exists (
        select 1
        from changes
        where organisation = :organisation
            and previous_orcid = :orcid
            and coalesce(attested_by, '') <> :credential
    ) as found;

-- name: list_changes_after
-- Oldest first.
select *
from changes
where organisation = :organisation
    and number > :after
order by number
limit :limit;

-- name: list_changes_of_person
-- Those that are kept, newest first.
select *
from changes
where organisation = :organisation
    and person_key = :person_key
order by number desc
limit :limit;

-- name: get_last_change_number
-- The number of the organisation's last change, whether it is kept or not.
select last_change_number
from organisations
where organisation = :organisation;

-- name: get_oldest_change_number
-- The number of the oldest change that is kept (null: none is), of the next one to come, and of the last one that may
-- have been erased before the feed's reader fetched it. One statement, so that all three are consistent.
select
    last_change_number + 1 as next,
    erased_through,
    (
        select min(changes.number)
        from changes
        where changes.organisation = organisations.organisation
    ) as oldest
from organisations
where organisation = :organisation;

-- name: get_deletable_changes
-- The number of the oldest change, and `keep_from`: the first one that must be kept, which is the first that is not old
-- or not delivered, or the next one to come.
select
    (
        select min(bound)
        from (
            select organisations.last_change_number + 1 as bound
            from organisations
            where organisations.organisation = :organisation
            union all
            select min(young.number)
            from changes as young
            where young.organisation = :organisation
                and young.at >= :before
            union all
            select min(deliveries.change_number)
            -- cross join: SQLite keeps to this order and reads only the deliveries that are not done
            from circuit_breakers
            cross join deliveries
            where circuit_breakers.organisation = :organisation
                and deliveries.organisation = circuit_breakers.organisation
                and deliveries.transfer = circuit_breakers.transfer
                and deliveries.state in ('waiting', 'dead-letter')
        ) as bounds
    ) as keep_from,
    (
        select min(changes.number)
        from changes
        where changes.organisation = :organisation
    ) as oldest;

-- name: delete_changes_before
delete from changes
where organisation = :organisation
    and number < :before;

-- name: acknowledge
-- Writes a row if the number is higher than the one acknowledged before and not higher than the last change's.
insert into acknowledgements (organisation, number, at)
select :organisation, :number, :now
from organisations
where organisation = :organisation
    and last_change_number >= :number
on conflict (organisation) do update
set number = excluded.number,
    at = excluded.at
where acknowledgements.number < excluded.number;

-- name: get_acknowledgement
select number, at
from acknowledgements
where organisation = :organisation;
