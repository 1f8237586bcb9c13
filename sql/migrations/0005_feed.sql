-- How far an organisation that fetches its changes says it has come.
create table acknowledgements (
    organisation text not null primary key,
    number bigint not null check (number >= 0),
    at text not null
);

create index changes_of_a_person on changes (organisation, person_key, number);
