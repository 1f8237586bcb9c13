-- The same promise by an index that only a question for an iD can use. With the organisation in front, PostgreSQL read
-- all of an organisation's links to find one person's, for as long as it had not yet gathered statistics.
drop index one_person_for_an_orcid_id;

create unique index one_person_for_an_orcid_id
    on links (orcid, registry, organisation)
    where ended_at is null;
