-- One row for each organisation. Whoever writes a link, a change or an event of an organisation holds its row
-- first, so that numbers are given in the order of commits and what was read before a write is still true at it.
create table counters (
    organisation text not null primary key,
    changes bigint not null check (changes >= 0),
    events bigint not null check (events >= 0),
    last_event_hash text not null
);

-- What people agreed to, word by word. The digest is the key: the same version with other words is another row.
create table consent_texts (
    digest text not null primary key,
    version text not null,
    language text not null,
    text text not null
);

-- ORCID iDs tied to accounts, now (ended_at is null) or once.
create table links (
    id text not null primary key,
    organisation text not null,
    person_key text not null,
    account text not null,
    issued text not null,
    registry text not null check (registry in ('production', 'sandbox')),
    orcid text not null,
    linked_at text not null,
    consent_digest text not null references consent_texts (digest),
    consent_at text not null,
    ended_at text,
    ended_by text check (ended_by in ('person', 'operator', 'organisation', 'service')),
    check ((ended_at is null) = (ended_by is null))
);

create unique index one_current_link_for_a_person
    on links (organisation, person_key)
    where ended_at is null;

create unique index one_person_for_an_orcid_id
    on links (organisation, registry, orcid)
    where ended_at is null;

-- The news of an organisation, numbered 1, 2, 3 … without gaps.
create table changes (
    organisation text not null,
    number bigint not null check (number > 0),
    kind text not null check (kind in ('linked', 'replaced', 'removed')),
    person_key text not null,
    account text not null,
    registry text check (registry in ('production', 'sandbox')),
    orcid text,
    previous_registry text check (previous_registry in ('production', 'sandbox')),
    previous_orcid text,
    at text not null,
    primary key (organisation, number),
    check ((registry is null) = (orcid is null)),
    check ((previous_registry is null) = (previous_orcid is null)),
    check ((orcid is null) = (kind = 'removed')),
    check ((previous_orcid is null) = (kind = 'linked'))
);
