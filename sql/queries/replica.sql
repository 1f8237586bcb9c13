-- name: list_released_orcid_ids
-- What the logins of an organisation release, for one registry, by account: the rows of the view idp_release. The table
-- is read once, because PostgreSQL joined it to the view row by row while it had no statistics, as after a restore.
select
    person_key as account,
    case registry
        when 'production' then 'https://orcid.org/'
        else 'https://sandbox.orcid.org/'
    end || orcid as "eduPersonOrcid",
    account_issued_at,
    stable_id,
    case
        when source = 'orcid' then ''
        when last_seen_on > substr(authenticated_at, 1, 10) then last_seen_on
        else substr(authenticated_at, 1, 10)
    end as held_on
from links
where organisation = :organisation
    and registry = :registry
    and ended_at is null
    and suspended_at is null
order by person_key;
