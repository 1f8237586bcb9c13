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
-- The attempt of this id, if any; nobody else can close it until the transaction ends.
-- The update changes nothing: it is there to hold the row, on both engines alike.
update attempts
set browser = browser
where id = :id
returning *;

-- name: take_attempt(id, now)!
-- One for the caller who was first, none for everybody else.
update attempts
set taken_at = :now
where id = :id
    and taken_at is null
    and closed_at is null;

-- name: keep_answer(id, registry, orcid, orcid_name)!
-- One if the attempt still waits for what ORCID answered.
update attempts
set registry = :registry,
    orcid = :orcid,
    orcid_name = :orcid_name
where id = :id
    and closed_at is null;

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
