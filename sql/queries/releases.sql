-- name: releases(organisation, registry)
-- Whose login releases which iD, of one registry, in the order of accounts.
select account, "eduPersonOrcid"
from idp_release
where organisation = :organisation
    and registry = :registry
order by account;
