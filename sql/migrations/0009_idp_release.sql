-- What Identity Providers may read by SQL: the iD that a person's login releases now. One row for a person; what has
-- ended is not there, and nothing is null or empty. `account` is the person's key, folded. PostgreSQL would fold the
-- name of the attribute to lower case, and an Identity Provider then not know it: hence the quotes.
create view idp_release as
select
    organisation,
    registry,
    person_key as account,
    case registry
        when 'production' then 'https://orcid.org/'
        else 'https://sandbox.orcid.org/'
    end || orcid as "eduPersonOrcid"
from links
where ended_at is null;
