-- E-mail that somebody asked for, once for each kind and change. The address goes when it is sent, or given up.
create table mails (
    organisation text not null,
    person_key text not null,
    kind text not null check (kind in ('receipt', 'arrived')),
    -- the change that it is about
    change_number bigint not null check (change_number >= 0),
    -- null once nothing is to be sent any more
    address text,
    language text not null,
    asked_at text not null,
    -- how often it was tried, and when it is due; moved on before each try, so that nobody else tries meanwhile
    attempts bigint not null check (attempts >= 0),
    next_at text not null,
    ended_at text,
    primary key (organisation, person_key, kind, change_number),
    check ((address is null) = (ended_at is not null))
);

create index mails_due on mails (next_at) where ended_at is null;
