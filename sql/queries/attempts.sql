-- name: insert_attempt
-- Writes no row where the person has :max_open attempts that are neither closed nor expired.
insert into attempts (
    id, state_hash, organisation, person_key, account, account_issued_at, stable_id, browser_hash, started_at, expires_at,
    consumed_at, registry, orcid, orcid_name, client_id, scope, return_to, closed_at, outcome
)
select
    :id, :state_hash, :organisation, :person_key, :account, :account_issued_at, :stable_id, :browser_hash, :started_at,
    :expires_at, :consumed_at, :registry, :orcid, :orcid_name, :client_id, :scope, :return_to, :closed_at, :outcome
where (
    select count(*)
    from attempts
    where organisation = :organisation
        and person_key = :person_key
        and closed_at is null
        and expires_at > :started_at
) < :max_open;

-- name: count_open_attempts
-- By organisation, without zeros.
select organisation, count(*) as count
from attempts
where closed_at is null
    and expires_at > :now
group by organisation;

-- name: get_attempt
select *
from attempts
where id = :id;

-- name: get_attempt_by_state
select *
from attempts
where state_hash = :state_hash;

-- name: list_attempts_of_person
-- Newest first.
select *
from attempts
where organisation = :organisation
    and person_key = :person_key
order by started_at desc, id
limit :limit;

-- name: lock_attempt
-- Locks the attempt until the transaction ends, so that no other transaction closes it. Returns also the id of its
-- person's current link, and the person of the same organisation to whom the attempt's iD is linked, if any.
-- The update changes nothing; it takes the lock on both engines alike.
update attempts
set browser_hash = browser_hash
where id = :id
returning
    *,
    (
        select links.id
        from links
        where links.organisation = attempts.organisation
            and links.person_key = attempts.person_key
            and links.ended_at is null
    ) as current_link_id,
    (
        select links.person_key
        from links
        where links.organisation = attempts.organisation
            and links.registry = attempts.registry
            and links.orcid = attempts.orcid
            and links.orcid <> ''
            and links.ended_at is null
    ) as linked_person_key;

-- name: consume_attempt
-- Uses up the state: a row for the first request that comes in time, from the person and the browser that started the
-- attempt; no row for any other.
update attempts
set consumed_at = :now
where state_hash = :state_hash
    and organisation = :organisation
    and person_key = :person_key
    and browser_hash = :browser_hash
    and expires_at > :now
    and consumed_at is null
    and closed_at is null
returning *;

-- name: save_orcid_answer
-- Changes a row if the attempt is open.
update attempts
set registry = :registry,
    orcid = :orcid,
    orcid_name = :orcid_name
where id = :id
    and closed_at is null;

-- name: save_orcid_answer_if_free
-- Changes a row if the attempt is open and its organisation has no current link with this iD.
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
            and links.orcid <> ''
            and links.ended_at is null
    );

-- name: save_claim
-- Changes a row if the attempt is open.
update attempts
set registry = :registry,
    orcid = :orcid,
    orcid_name = :orcid_name,
    claim_expires_at = :claim_expires_at
where id = :id
    and closed_at is null;

-- name: list_claims
-- The claims of an iD on which neither its holder nor an administrator has decided, oldest first.
select *
from attempts
where organisation = :organisation
    and registry = :registry
    and orcid = :orcid
    and claim_expires_at > :now
    and closed_at is null
order by started_at, id;

-- name: close_attempt
-- Changes a row for the caller who closes it, none when it was closed before. The iD is deleted.
update attempts
set closed_at = :now,
    outcome = :outcome,
    registry = null,
    orcid = null,
    orcid_name = ''
where id = :id
    and closed_at is null;

-- name: cancel_attempts_of_organisation
update attempts
set closed_at = :now,
    outcome = 'cancelled',
    registry = null,
    orcid = null,
    orcid_name = ''
where organisation = :organisation
    and closed_at is null;

-- name: list_expired_attempts
-- Those that expired first.
select id
from attempts
where expires_at < :before
order by expires_at
limit :limit;

-- name: delete_attempt
-- Returns what the statistics count.
delete from attempts
where id = :id
returning organisation, started_at, closed_at, outcome;
