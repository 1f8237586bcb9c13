-- name: links_of_person(organisation, person_key, limit)
-- All links of a person with the words agreed to, the newest first.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from (
    select *
    from links as held
    where held.organisation = :organisation
        and held.person_key = :person_key
        and held.ended_at is null
    union all
    select *
    from links as ended
    where ended.organisation = :organisation
        and ended.person_key = :person_key
        and ended.ended_at is not null
) as links
join consent_texts on consent_texts.digest = links.consent_digest
order by linked_at desc, id
limit :limit;

-- name: attempts_of_person(organisation, person_key, limit)
-- All attempts of a person that have not been swept out, the newest first.
select *
from attempts
where organisation = :organisation
    and person_key = :person_key
order by started_at desc, id
limit :limit;

-- name: changes_of_person(organisation, person_key, limit)
-- All changes of a person that are kept, the newest first.
select *
from changes
where organisation = :organisation
    and person_key = :person_key
order by number desc
limit :limit;

-- name: erasure_of_person(organisation, person_key)^
-- When a person asked to be forgotten, if they did and it is not done yet.
select *
from erasures
where organisation = :organisation
    and person_key = :person_key;

-- name: passed_on(organisation, person_key)^
-- When an account was last seen to have been given to somebody else, if ever: the service ended the link of the other.
select at
from events
where organisation = :organisation
    and person_key = :person_key
    and kind = 'removed'
    and actor = 'service'
order by number desc
limit 1;
