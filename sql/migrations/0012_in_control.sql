-- The links that a person had once: for whoever asks what is stored about them, or wants it erased. Without those that
-- hold now, so that a sign-in, which asks for these alone, is never led through all that ever were.
create index ended_links_of_a_person on links (organisation, person_key, linked_at)
    where ended_at is not null;

-- Up to this number changes may be gone that a reader of the feed has not fetched: whoever stands before it begins
-- again with a snapshot.
alter table counters add column forgotten bigint not null default 0;

-- People who asked that everything about them be erased. What is owed of their removal has to arrive first.
create table erasures (
    id text not null primary key,
    organisation text not null,
    -- null once it is done; the row stays until the database's files have been written anew
    person_key text,
    -- the numbers that their last change, and the audit's last line, had when they asked; 0 where there was none
    change_number bigint not null check (change_number >= 0),
    event_number bigint not null check (event_number >= 0),
    -- whether the organisation may fetch the removal from the feed
    by_feed bigint not null check (by_feed in (0, 1)),
    asked_at text not null,
    finished_at text,
    check ((person_key is null) = (finished_at is not null))
);

create unique index one_erasure_for_a_person
    on erasures (organisation, person_key)
    where person_key is not null;
