-- name: list_released_orcid_ids
-- What the logins of an organisation release, for one registry, by account.
select account, "eduPersonOrcid", account_issued_at, stable_id, held_on
from idp_release
where organisation = :organisation
    and registry = :registry
order by account;
