-- name: insert_erasure
-- A person's request to be erased; replaces an earlier one that is not finished. If there was no change since the
-- earlier one, its time is kept, so that repeated requests do not postpone the erasure.
insert into erasures (id, organisation, person_key, change_number, event_number, uses_feed, requested_at)
values (:id, :organisation, :person_key, :change_number, :event_number, :uses_feed, :now)
on conflict (organisation, person_key) where person_key is not null do update
set change_number = case
        when excluded.change_number > erasures.change_number then excluded.change_number
        else erasures.change_number
    end,
    event_number = case
        when excluded.event_number > erasures.event_number then excluded.event_number
        else erasures.event_number
    end,
    uses_feed = excluded.uses_feed,
    requested_at = case
        when erasures.change_number >= excluded.change_number then erasures.requested_at
        else excluded.requested_at
    end;

-- name: get_erasure
-- A person's unfinished erasure.
select *
from erasures
where organisation = :organisation
    and person_key = :person_key;

-- name: get_due_erasure
-- A person's erasure, if the removal has reached the organisation (no delivery is waiting or a dead letter, and the
-- feed's reader has acknowledged the removal), or if it was requested at :give_up_before or earlier.
select erasures.*, coalesce(acknowledgements.number, 0) as acknowledged
from erasures
left join acknowledgements on acknowledgements.organisation = erasures.organisation
where erasures.organisation = :organisation
    and erasures.person_key = :person_key
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = erasures.organisation
            and deliveries.person_key = erasures.person_key
            and deliveries.change_number <= erasures.change_number
            and deliveries.state in ('waiting', 'dead-letter')
            and erasures.requested_at > :give_up_before
    )
    and (
        erasures.uses_feed = 0
        or erasures.change_number = 0
        or erasures.requested_at <= :give_up_before
        or coalesce(acknowledgements.number, 0) >= erasures.change_number
    );

-- name: list_organisations_of_erasures
-- Those with an unfinished erasure.
select distinct organisation
from erasures
where person_key is not null
order by organisation;

-- name: list_due_erasures
-- All such erasures of an organisation, oldest first.
select erasures.*
from erasures
left join acknowledgements on acknowledgements.organisation = erasures.organisation
where erasures.organisation = :organisation
    and erasures.person_key is not null
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = erasures.organisation
            and deliveries.person_key = erasures.person_key
            and deliveries.change_number <= erasures.change_number
            and deliveries.state in ('waiting', 'dead-letter')
            and erasures.requested_at > :give_up_before
    )
    and (
        erasures.uses_feed = 0
        or erasures.change_number = 0
        or erasures.requested_at <= :give_up_before
        or coalesce(acknowledgements.number, 0) >= erasures.change_number
    )
order by erasures.requested_at, erasures.id
limit :limit;

-- name: has_personal_data
-- A row if any table has data of the person.
select 1 as found
where exists (
        select 1 from links where organisation = :organisation and person_key = :person_key and ended_at is null
    )
    or exists (
        select 1 from links where organisation = :organisation and person_key = :person_key and ended_at is not null
    )
    or exists (select 1 from changes where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from attempts where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from deliveries where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from events where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from pending_removals where organisation = :organisation and person_key = :person_key)
    or exists (select 1 from read_events where organisation = :organisation and person_key = :person_key);

-- name: list_inactive_people
-- People without a current link, an attempt or a waiting delivery whose last audit event is older than a time.
select person_key
from events
where organisation = :organisation
    and person_key is not null
    and not exists (
        select 1
        from links
        where links.organisation = events.organisation
            and links.person_key = events.person_key
            and links.ended_at is null
    )
    and not exists (
        select 1
        from attempts
        where attempts.organisation = events.organisation
            and attempts.person_key = events.person_key
    )
    and not exists (
        select 1
        from deliveries
        where deliveries.organisation = events.organisation
            and deliveries.person_key = events.person_key
            and deliveries.state = 'waiting'
    )
    and not exists (
        select 1
        from erasures
        where erasures.organisation = events.organisation
            and erasures.person_key = events.person_key
    )
group by person_key
having max(at) < :before
order by person_key
limit :limit;

-- name: has_activity
-- A row if list_inactive_people would not return the person.
select 1 as found
where exists (
        select 1 from links where organisation = :organisation and person_key = :person_key and ended_at is null
    )
    or exists (select 1 from attempts where organisation = :organisation and person_key = :person_key)
    or exists (
        select 1 from deliveries where organisation = :organisation and person_key = :person_key and state = 'waiting'
    )
    or exists (select 1 from erasures where organisation = :organisation and person_key = :person_key)
    or exists (
        select 1 from events where organisation = :organisation and person_key = :person_key and at >= :before
    );

-- name: supersede_waiting_deliveries
-- Finishes a person's deliveries that are not leased and that a waiting removal makes unnecessary. A move is necessary: it
-- takes the iD from the earlier account.
update deliveries
set state = 'done',
    outcome = 'superseded',
    finished_at = :now
where organisation = :organisation
    and person_key = :person_key
    and state = 'waiting'
    and kind <> 'moved'
    and leased_by is null
    and exists (
        select 1
        from deliveries as later
        where later.organisation = deliveries.organisation
            and later.person_key = deliveries.person_key
            and later.transfer = deliveries.transfer
            and later.change_number > deliveries.change_number
            and later.state = 'waiting'
            and later.kind = 'removed'
    );

-- name: give_up_deliveries_of_person
-- Makes the waiting deliveries of a person's changes dead letters, leased ones too: their changes are deleted next.
update deliveries
set state = 'dead-letter',
    outcome = coalesce(outcome, 'temporary'),
    finished_at = :now,
    lease_expires_at = null,
    leased_by = null
where organisation = :organisation
    and person_key = :person_key
    and change_number <= :number
    and state = 'waiting'
returning change_number, transfer, outcome;

-- name: delete_changes_of_person
delete from changes
where organisation = :organisation
    and person_key = :person_key
    and number <= :number;

-- name: anonymise_deliveries_of_person
-- Keeps where and when the changes arrived; deletes the person and what the receivers said.
update deliveries
set person_key = null,
    message = ''
where organisation = :organisation
    and person_key = :person_key
    and change_number <= :number;

-- name: delete_ended_links_of_person
delete from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at <= (
        select events.at
        from events
        where events.organisation = :organisation
            and events.number = :event_number
    );

-- name: update_erased_through
-- Changes up to this number may be gone that the feed's reader has not fetched.
update organisations
set erased_through = :number
where organisation = :organisation
    and erased_through < :number;

-- name: finish_erasure
update erasures
set person_key = null,
    finished_at = :now
where id = :id;

-- name: count_finished_erasures
-- Those that were finished since the database's files were rewritten.
select count(*) as count
from erasures
where finished_at is not null;

-- name: delete_finished_erasures
delete from erasures
where finished_at <= :before;
