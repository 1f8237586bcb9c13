-- name: orcid_of(organisation, person_key)^
-- The iD a person has now: what a login asks for, so nothing else is read.
select registry, orcid
from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: own_orcid_id(organisation, person_key)^
-- Which link a person has now, and to which iD.
select id, registry, orcid
from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: link_of(organisation, person_key)^
-- A person's current link with the words they agreed to.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: holder_of(organisation, registry, orcid)^
-- The current link of whoever has this iD in this organisation.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and registry = :registry
    and orcid = :orcid
    and ended_at is null;

-- name: standing(organisation, person_key)^
-- How things stand with a person: their current link, their newest change that is kept, and how far their organisation
-- has fetched its changes. One row, whoever they are; what there is not is null in it.
select
    links.*, consent_texts.version, consent_texts.language, consent_texts.text,
    newest.number as newest_number,
    newest.kind as newest_kind,
    acknowledgements.number as fetched_number,
    acknowledgements.at as fetched_at
from (
    select
        1 as one,
        (
            select max(changes.number)
            from changes
            where changes.organisation = :organisation
                and changes.person_key = :person_key
        ) as number
) as person
left join links on links.organisation = :organisation
    and links.person_key = :person_key
    and links.ended_at is null
left join consent_texts on consent_texts.digest = links.consent_digest
left join changes as newest on newest.organisation = :organisation
    and newest.number = person.number
left join acknowledgements on acknowledgements.organisation = :organisation;

-- name: some_links(organisation, after, limit)
-- The next current links of an organisation in the order of their persons' keys.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and person_key > :after
    and ended_at is null
order by person_key
limit :limit;

-- name: some_current_links(organisation, after, limit)
-- The same, and of each what a snapshot tells.
select id, person_key, account, registry, orcid, linked_at
from links
where organisation = :organisation
    and person_key > :after
    and ended_at is null
order by person_key
limit :limit;

-- name: count_links(organisation)^
-- How many persons of an organisation have a link now.
select count(*) as count
from links
where organisation = :organisation
    and ended_at is null;

-- name: keep_consent_text(digest, version, language, text)!
-- One the first time these words are agreed to.
insert into consent_texts (digest, version, language, text)
values (:digest, :version, :language, :text)
on conflict (digest) do nothing;

-- name: add_link(id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at, source, authenticated_at)!
-- A link that holds from now on.
insert into links (
    id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at,
    source, authenticated_at
)
values (
    :id, :organisation, :person_key, :account, :issued, :registry, :orcid, :linked_at, :consent_digest, :consent_at,
    :source, :authenticated_at
);

-- name: add_link_if_free(id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at, source, authenticated_at)!
-- One if the person had no link and nobody the iD; the link holds from now on.
insert into links (
    id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at,
    source, authenticated_at
)
values (
    :id, :organisation, :person_key, :account, :issued, :registry, :orcid, :linked_at, :consent_digest, :consent_at,
    :source, :authenticated_at
)
on conflict do nothing;

-- name: end_link(id, now, by)!
-- One if the link held until now.
update links
set ended_at = :now,
    ended_by = :by
where id = :id
    and ended_at is null;
