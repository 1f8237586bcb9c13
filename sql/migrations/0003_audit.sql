-- The audit. Each line's hash covers the hash of the line before it (sql/audit.py says how).
create table events (
    organisation text not null,
    number bigint not null check (number > 0),
    at text not null,
    kind text not null,
    actor text not null check (actor in ('person', 'operator', 'organisation', 'service')),
    -- both null once erased; the digest keeps their place in the chain
    person_key text,
    facts text,
    digest text not null,
    hash text not null,
    primary key (organisation, number)
);

create index events_of_a_person on events (organisation, person_key, number);
