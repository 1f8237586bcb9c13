-- What happened, counted by organisation, day and word: it names nobody, and stays when what was counted has gone.
-- The day is that of the event's own time in UTC, as 2026-01-15; the empty day holds the sum of all days.
create table daily_counts (
    organisation text not null,
    day text not null,
    -- attempts are counted when they are swept or forgotten, events as the audit grows
    source text not null check (source in ('attempt', 'event')),
    word text not null,
    count bigint not null check (count >= 0),
    primary key (organisation, day, source, word)
);

-- Up to which number an organisation's events are in the counts.
create table counted_events (
    organisation text not null primary key,
    number bigint not null check (number >= 0)
);

-- The numbers that people were shown when something went wrong, for whoever is told one over the telephone.
create table incidents (
    incident text not null primary key,
    at text not null,
    -- the word of the log
    word text not null,
    -- null where it is not known
    organisation text,
    -- the page, as the table of routes names it: never what stood in the address
    place text not null
);

create index incidents_by_time on incidents (at);
