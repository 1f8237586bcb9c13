-- name: add_attempt(id, state_hash, organisation, person_key, account, browser, started_at, expires_at, taken_at, registry, orcid, orcid_name, closed_at, outcome)!
-- A linking has been started.
insert into attempts (
    id, state_hash, organisation, person_key, account, browser, started_at, expires_at,
    taken_at, registry, orcid, orcid_name, closed_at, outcome
)
values (
    :id, :state_hash, :organisation, :person_key, :account, :browser, :started_at, :expires_at,
    :taken_at, :registry, :orcid, :orcid_name, :closed_at, :outcome
);

-- name: sweep_attempts(before, limit)
-- Some attempts that expired so long ago that nobody will ask for them; what is to be counted of each.
delete from attempts
where id in (
    select id
    from attempts
    where expires_at < :before
    order by expires_at
    limit :limit
)
returning organisation, started_at, closed_at, outcome;

-- name: attempt_by_state(state_hash)^
-- The attempt whose state this is, if any.
select *
from attempts
where state_hash = :state_hash;

-- name: attempt_by_id(id)^
-- The attempt of this id, if any.
select *
from attempts
where id = :id;

-- name: hold_attempt(id)^
-- The attempt of this id, if any; nobody else can close it until the transaction ends. With it, which link its person
-- has now, and who in their organisation has the iD that ORCID named.
-- The update changes nothing: it is there to hold the row, on both engines alike.
update attempts
set browser = browser
where id = :id
returning
    *,
    (
        select links.id
        from links
        where links.organisation = attempts.organisation
            and links.person_key = attempts.person_key
            and links.ended_at is null
    ) as own_link,
    (
        select links.person_key
        from links
        where links.organisation = attempts.organisation
            and links.registry = attempts.registry
            and links.orcid = attempts.orcid
            and links.ended_at is null
    ) as holder;

-- name: take_attempt(state_hash, organisation, person_key, browser, now)^
-- The attempt whose state this is, for the caller who is first to come with it: in time, and as the person and in the
-- browser that began it. Nothing for everybody else.
update attempts
set taken_at = :now
where state_hash = :state_hash
    and organisation = :organisation
    and person_key = :person_key
    and browser = :browser
    and expires_at > :now
    and taken_at is null
    and closed_at is null
returning *;

-- name: keep_answer(id, registry, orcid, orcid_name)!
-- One if the attempt still waits for what ORCID answered.
update attempts
set registry = :registry,
    orcid = :orcid,
    orcid_name = :orcid_name
where id = :id
    and closed_at is null;

-- name: keep_answer_if_free(id, registry, orcid, orcid_name)!
-- One if the attempt still waits for what ORCID answered, and nobody in its organisation has this iD.
update attempts
set registry = :registry,
    orcid = :orcid,
    orcid_name = :orcid_name
where id = :id
    and closed_at is null
    and not exists (
        select 1
        from links
        where links.organisation = attempts.organisation
            and links.registry = :registry
            and links.orcid = :orcid
            and links.ended_at is null
    );

-- name: close_attempt(id, outcome, now)!
-- One for the caller who closed it, none when it was closed before. Whom ORCID named is forgotten.
update attempts
set closed_at = :now,
    outcome = :outcome,
    registry = null,
    orcid = null,
    orcid_name = ''
where id = :id
    and closed_at is null;
