-- name: begin_status_batch
-- Writes a row if no other worker is at work and the next batch is due.
insert into status_rounds (registry, next_batch_at, failures, day, requests)
values (:registry, :lease_expires_at, 0, '', 0)
on conflict (registry) do update
set next_batch_at = excluded.next_batch_at
where status_rounds.next_batch_at <= :now;

-- name: get_status_round
select next_batch_at, failures, day, requests
from status_rounds
where registry = :registry;

-- name: finish_status_batch
update status_rounds
set next_batch_at = :next_batch_at,
    failures = :failures
where registry = :registry;

-- name: count_status_requests
-- Adds to the requests of the day.
insert into status_rounds (registry, next_batch_at, failures, day, requests)
values (:registry, '', 0, :day, :requests)
on conflict (registry) do update
set requests = case when status_rounds.day = excluded.day then status_rounds.requests else 0 end + excluded.requests,
    day = excluded.day;

-- name: list_due_status_checks
-- The iDs of current links whose look-up is due, those that have waited longest first. An iD that several organisations
-- have occurs several times.
select orcid
from links
where registry = :registry
    and next_check_at <= :now
    and next_check_at <> ''
    and ended_at is null
order by next_check_at
limit :limit;

-- name: save_record_status
-- Writes what a look-up showed to each current link of the iD.
update links
set record_since = case
        when record_state = :state and coalesce(record_primary, '') = :compared then record_since
        else :now
    end,
    record_state = :state,
    record_primary = :primary,
    record_checked_at = :now
where registry = :registry
    and orcid = :orcid
    and orcid <> ''
    and ended_at is null;

-- name: schedule_status_check
update links
set next_check_at = :next_check_at
where registry = :registry
    and orcid = :orcid
    and orcid <> ''
    and ended_at is null;

-- name: list_links_by_orcid_id
-- The current links of an iD, in all organisations, with the texts agreed to.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where registry = :registry
    and orcid = :orcid
    and orcid <> ''
    and ended_at is null
order by organisation;

-- name: suspend_link
update links
set suspended_at = :now
where id = :id
    and ended_at is null
    and suspended_at is null;

-- name: resume_link
update links
set suspended_at = null
where id = :id
    and ended_at is null
    and suspended_at is not null;

-- name: count_record_states
-- Number of an organisation's current links by the state of the iD's record, without those that are in their normal
-- state or were not looked up; how many are suspended; and how many have a primary iD that another account holds.
select
    links.record_state,
    count(*) as count,
    count(links.suspended_at) as suspended,
    count(holder.id) as conflicts
from links
left join links as holder on holder.organisation = links.organisation
    and holder.registry = links.registry
    and holder.orcid = links.record_primary
    and holder.orcid <> ''
    and holder.ended_at is null
where links.organisation = :organisation
    and links.ended_at is null
    and links.record_state <> 'ok'
group by links.record_state
order by links.record_state;

-- name: count_due_status_checks
-- The number of iDs whose look-up is due.
select count(distinct orcid) as count
from links
where registry = :registry
    and next_check_at <= :now
    and next_check_at <> ''
    and ended_at is null;

-- name: get_status_backlog
-- When the longest waiting look-up of a registry was due; null where there is no link.
select min(next_check_at) as oldest
from links
where registry = :registry
    and next_check_at <> ''
    and ended_at is null;
