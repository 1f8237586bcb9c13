-- What names a change towards the organisation, whatever happens to its number: random, and given when it is made.
-- Changes made before this file have none of their own; sql/rows.py says what theirs is.
alter table changes add column id text;

-- The ways out that have ever been owed something. After failures in a row one is closed for a while: its breaker is
-- open until then, and after that it is probed with one delivery at a time.
create table breakers (
    organisation text not null,
    transfer text not null,
    failures bigint not null check (failures >= 0),
    open_until text,
    primary key (organisation, transfer)
);

-- The outbox: each change owed to each transfer, made with the change. What is done stays, to be shown.
create table deliveries (
    organisation text not null,
    number bigint not null check (number > 0),
    transfer text not null,
    kind text not null check (kind in ('linked', 'replaced', 'removed')),
    -- null once the person has been forgotten
    person_key text,
    state text not null check (state in ('waiting', 'done', 'given-up')),
    outcome text,
    -- the other side's words
    message text not null,
    -- how often it has been sent on its way, since it began to wait
    attempts bigint not null check (attempts >= 0),
    created_at text not null,
    -- when it began to wait: when it was made, or taken up again
    waiting_since text not null,
    next_at text not null,
    -- when the last try ended
    tried_at text,
    leased_until text,
    leased_by text,
    finished_at text,
    primary key (organisation, number, transfer),
    check ((leased_until is null) = (leased_by is null)),
    check (leased_until is null or state = 'waiting'),
    check ((finished_at is null) = (state = 'waiting')),
    check (person_key is not null or state <> 'waiting')
);

create index deliveries_due
    on deliveries (organisation, transfer, next_at, number)
    where state = 'waiting';

create index deliveries_on_their_way
    on deliveries (organisation, transfer, leased_until)
    where leased_until is not null;

create index deliveries_of_a_person
    on deliveries (organisation, person_key, transfer, state, number);

create index deliveries_by_state
    on deliveries (organisation, transfer, state, number, created_at);
