-- Where the person showed that the iD is theirs: at ORCID, under our eyes, or in a system for which their organisation
-- vouches; and when, where that was not when the link was made.
alter table links add column source text not null default 'orcid';
alter table links add column authenticated_at text;
