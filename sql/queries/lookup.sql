-- name: get_current_orcid_id
-- The iD that a person's logins release. Every login runs this, so it reads nothing else.
select registry, orcid
from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: ping
-- Whether the database answers at all.
select 1 as answer;
