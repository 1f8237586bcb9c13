-- Started linkings. They live for an hour and are swept away a day after that, so nothing else refers to them.
create table attempts (
    id text not null primary key,
    -- SHA-256 of the state that travels to ORCID and back; the state itself is nowhere kept
    state_hash text not null unique,
    organisation text not null,
    person_key text not null,
    account text not null,
    browser text not null,
    -- all times are UTC text of one width, so that they sort as they are: 2026-01-15T10:00:00.000000Z
    started_at text not null,
    expires_at text not null,
    taken_at text,
    registry text check (registry in ('production', 'sandbox')),
    orcid text,
    orcid_name text not null,
    closed_at text,
    outcome text,
    check ((registry is null) = (orcid is null)),
    check ((closed_at is null) = (outcome is null)),
    -- a closed attempt has forgotten whom ORCID named
    check (closed_at is null or orcid is null)
);

create index attempts_by_expiry on attempts (expires_at);
