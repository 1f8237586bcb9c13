-- name: get_current_orcid_id
-- The iD that a person's logins release, and what tells the account's holder from another one. Every login runs this, so
-- it reads nothing else.
select
    registry, orcid, account_issued_at, stable_id,
    case
        when source = 'orcid' then ''
        when last_seen_on > substr(authenticated_at, 1, 10) then last_seen_on
        else substr(authenticated_at, 1, 10)
    end as held_on
from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null
    and suspended_at is null;

-- name: list_merged_organisations
-- The organisations that were merged into others, whose credentials are refused.
select organisation
from organisations
where merged_into is not null;

-- name: ping
-- Whether the database answers at all.
select 1 as answer;
