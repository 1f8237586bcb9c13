-- name: insert_orcid_token
insert into orcid_tokens (
    id, organisation, attempt, client_id, scope, sealed, obtained_at, expires_at, revocation_due_at, next_try_at,
    tries
)
values (
    :id, :organisation, :attempt, :client_id, :scope, :sealed, :obtained_at, :expires_at, :revocation_due_at,
    :revocation_due_at, 0
);

-- name: assign_tokens_to_link
-- The person has confirmed: what ORCID gave in the attempt belongs to the link, if that has not ended meanwhile.
update orcid_tokens
set attempt = null,
    link = :link
where attempt = :attempt
    and revocation_due_at is null
    and exists (
        select 1
        from links
        where links.id = :link
            and links.ended_at is null
    );

-- name: move_tokens_to_link
-- The tokens of one client, with which the organisation of the other link can go on.
update orcid_tokens
set organisation = :organisation,
    link = :link
where link = :from_link
    and client_id = :client_id
    and revocation_due_at is null;

-- name: list_tokens_of_link
-- Those that are not due to be revoked, newest first.
select *
from orcid_tokens
where link = :link
    and revocation_due_at is null
order by obtained_at desc, id;

-- name: list_tokens_of_attempt
select *
from orcid_tokens
where attempt = :attempt
    and revocation_due_at is null;

-- name: revoke_tokens
-- Here and below: makes tokens due to be revoked that are not yet. One pair, or those of a link or of an attempt; null
-- names none.
update orcid_tokens
set revocation_due_at = :now,
    next_try_at = :now
where (id = :id or link = :link or attempt = :attempt)
    and revocation_due_at is null;

-- name: revoke_tokens_of_open_attempts
-- All of an organisation that belong to no link.
update orcid_tokens
set revocation_due_at = :now,
    next_try_at = :now
where attempt is not null
    and organisation = :organisation
    and revocation_due_at is null;

-- name: revoke_tokens_of_person
-- Those of the person's current and former links.
update orcid_tokens
set revocation_due_at = :now,
    next_try_at = :now
where revocation_due_at is null
    and link in (
        select links.id
        from links
        where links.organisation = :organisation
            and links.person_key = :person_key
    );

-- name: list_links_of_client_to_end
-- A page of the links with tokens of the client that are not due to be revoked, and an item that it has to end before.
select distinct
    links.organisation, links.id, links.person_key, links.account, links.registry, links.orcid, links.linked_at,
    links.record_state, links.ended_at
from orcid_tokens
join affiliation_items on affiliation_items.link_id = orcid_tokens.link
    and affiliation_items.client_id = orcid_tokens.client_id
    and affiliation_items.state in ('pending', 'written')
join links on links.id = orcid_tokens.link
where orcid_tokens.client_id = :client_id
    and orcid_tokens.revocation_due_at is null
    and links.id > :after
order by links.id
limit :limit;

-- name: revoke_tokens_of_client
update orcid_tokens
set revocation_due_at = :now,
    next_try_at = :now
where client_id = :client_id
    and revocation_due_at is null;

-- name: list_unneeded_tokens
-- Those that are not due to be revoked although there is neither an attempt that can still be confirmed nor a current
-- link. An attempt counts as expired some time after it is.
select id, coalesce(attempt, '') as attempt, coalesce(link, '') as link
from orcid_tokens
where revocation_due_at is null
    and not exists (
        select 1
        from attempts
        where attempts.id = orcid_tokens.attempt
            and attempts.closed_at is null
            and (attempts.expires_at > :expired_before or attempts.claim_expires_at > :expired_before)
    )
    and not exists (
        select 1
        from links
        where links.id = orcid_tokens.link
            and links.ended_at is null
    )
limit :limit;

-- name: revoke_unneeded_token
-- Changes a row if it still belongs to the attempt and link of which `list_unneeded_tokens` knew.
update orcid_tokens
set revocation_due_at = :now,
    next_try_at = :now
where id = :id
    and coalesce(attempt, '') = :attempt
    and coalesce(link, '') = :link
    and revocation_due_at is null;

-- name: list_tokens_of_person
-- Those of the person's current and former links and of their attempts, newest first, with the link's iD. Each part of
-- the union has an index.
select orcid_tokens.*, owner.registry, owner.orcid
from links as owner
join orcid_tokens on orcid_tokens.link = owner.id
where owner.organisation = :organisation
    and owner.person_key = :person_key
union all
select orcid_tokens.*, attempts.registry, attempts.orcid
from attempts
join orcid_tokens on orcid_tokens.attempt = attempts.id
where attempts.organisation = :organisation
    and attempts.person_key = :person_key
order by obtained_at desc, id
limit :limit;

-- name: get_token_of_link
-- One that belongs to a link, with the link's iD and person.
select orcid_tokens.*, links.registry, links.orcid, links.person_key, links.account, links.ended_at
from orcid_tokens
join links on links.id = orcid_tokens.link
where orcid_tokens.id = :id;

-- name: withdraw_tokens_of_client
-- Those of a link and a client up to a time: who takes a permission back at ORCID takes back all that the client has.
update orcid_tokens
set withdrawn_at = :now
where link = :link
    and client_id = :client_id
    and obtained_at <= :obtained_at
    and withdrawn_at is null
    and revoked_at is null
returning scope;

-- name: list_clients_with_due_revocations
select client_id
from orcid_tokens
where next_try_at <= :now
    and revoked_at is null
    and (lease_expires_at is null or lease_expires_at <= :now)
group by client_id
order by client_id;

-- name: find_due_revocation
-- The pair of a client that is due and not leased, longest due first. One that is due since :held_since or later is left
-- out if it is needed to end an item of the client on the person's record: if no other pair of the link can do so.
select due.id
from orcid_tokens as due
where due.client_id = :client_id
    and due.next_try_at <= :now
    and due.revoked_at is null
    and (due.lease_expires_at is null or due.lease_expires_at <= :now)
    and not (
        due.revocation_due_at >= :held_since
        and replace(due.scope, '/activities/update', '') <> due.scope
        and exists (
            select 1
            from affiliation_items
            where affiliation_items.link_id = due.link
                and affiliation_items.client_id = due.client_id
                and affiliation_items.state in ('pending', 'written')
        )
        and not exists (
            select 1
            from orcid_tokens as kept
            where kept.link = due.link
                and kept.client_id = due.client_id
                and kept.revocation_due_at is null
                and kept.withdrawn_at is null
                and replace(kept.scope, '/activities/update', '') <> kept.scope
        )
    )
order by due.next_try_at
limit 1;

-- name: claim_revocation
-- Leases a pair, if no other worker has leased or revoked it meanwhile.
update orcid_tokens
set leased_by = :worker,
    lease_expires_at = :lease_expires_at,
    tries = tries + 1
where id = :id
    and next_try_at <= :now
    and revoked_at is null
    and (lease_expires_at is null or lease_expires_at <= :now)
returning *;

-- name: reschedule_revocation
update orcid_tokens
set next_try_at = :next_try_at,
    outcome = :outcome,
    lease_expires_at = null,
    leased_by = null
where id = :id
    and leased_by = :worker
    and lease_expires_at = :lease_expires_at
    and revoked_at is null;

-- name: complete_revocation
-- Whoever leased it: what ORCID has revoked stays revoked. The tokens are deleted.
update orcid_tokens
set sealed = null,
    revoked_at = :now,
    outcome = null,
    lease_expires_at = null,
    leased_by = null
where id = :id
    and revoked_at is null;

-- name: make_revocations_due
-- All that wait become due now, as after a setting was corrected.
update orcid_tokens
set next_try_at = :now
where next_try_at > :now
    and revoked_at is null;

-- name: count_tokens
-- By organisation, client, whether they are due to be revoked, and the outcome of the last attempt.
select
    organisation,
    client_id,
    case when revocation_due_at is null then 0 else 1 end as due,
    coalesce(outcome, '') as outcome,
    count(*) as count,
    min(coalesce(revocation_due_at, obtained_at)) as oldest
from orcid_tokens
where revoked_at is null
group by 1, 2, 3, 4
order by 1, 2, 3, 4;

-- name: list_sealed_tokens
-- A page of the sealed pairs, by id.
select id, client_id, sealed
from orcid_tokens
where id > :after
    and sealed is not null
order by id
limit :limit;

-- name: update_sealed_token
-- Changes a row if the pair was neither sealed anew nor deleted meanwhile.
update orcid_tokens
set sealed = :sealed
where id = :id
    and sealed = :before;

-- name: discard_token
-- Gives up a pair that cannot be revoked.
delete from orcid_tokens
where id = :id
    and sealed = :before
returning organisation;

-- name: delete_revoked_tokens
delete from orcid_tokens
where revoked_at < :before;
