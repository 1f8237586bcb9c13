-- Whether the organisation's own Identity Provider was seen to release the linked iD when the person signed in to us.
-- Each state tells more than the one before it in the order of their words, and a link never goes back.
alter table links add column release_state text check (release_state in ('missing', 'other', 'seen'));
alter table links add column release_at text check ((release_at is null) = (release_state is null));

-- With ended_at in it the count needs no row of the table. Links of which nothing is known are not in it, so that it
-- costs a new link nothing and can be no way to a person's link.
create index links_by_release
    on links (organisation, release_state, ended_at)
    where ended_at is null
    and release_state is not null;
