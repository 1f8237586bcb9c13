-- name: list_released_orcid_ids
-- What the logins of an organisation release, for one registry, by account.
select
    idp_release.account,
    idp_release."eduPersonOrcid",
    idp_release.account_issued_at,
    idp_release.stable_id,
    case
        when links.source = 'orcid' then ''
        when links.last_seen_on > substr(links.authenticated_at, 1, 10) then links.last_seen_on
        else substr(links.authenticated_at, 1, 10)
    end as held_on
from idp_release
join links on links.organisation = idp_release.organisation
    and links.person_key = idp_release.account
    and links.ended_at is null
where idp_release.organisation = :organisation
    and idp_release.registry = :registry
order by idp_release.account;
