-- name: get_link
-- A person's current link with the text they agreed to.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: get_link_id
-- The id and the iD of a person's current link.
select id, registry, orcid
from links
where organisation = :organisation
    and person_key = :person_key
    and ended_at is null;

-- name: get_link_by_orcid_id
-- The current link of an organisation with this iD.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and registry = :registry
    and orcid = :orcid
    and orcid <> ''
    and ended_at is null;

-- name: get_person_status
-- A person's current link, their newest change that is kept, the organisation's acknowledgement of its feed, and whether
-- there are attempts that may be an earlier holder's, or a removal that is going to happen.
-- Always one row; its columns are null for what does not exist.
select
    links.*, consent_texts.version, consent_texts.language, consent_texts.text,
    newest.number as newest_number,
    newest.kind as newest_kind,
    acknowledgements.number as fetched_number,
    acknowledgements.at as fetched_at,
    exists (
        select 1
        from attempts
        where attempts.organisation = :organisation
            and attempts.person_key = :person_key
            and (
                attempts.stable_id not in ('', :stable_id)
                or attempts.account_issued_at not in ('', :account_issued_at)
            )
    ) as has_other_attempts,
    exists (
        select 1
        from pending_removals
        where pending_removals.organisation = :organisation
            and pending_removals.person_key = :person_key
            and pending_removals.source is null
    ) as removal_pending
from (
    select
        1 as one,
        (
            select max(changes.number)
            from changes
            where changes.organisation = :organisation
                and changes.person_key = :person_key
        ) as number
) as person
left join links on links.organisation = :organisation
    and links.person_key = :person_key
    and links.ended_at is null
left join consent_texts on consent_texts.digest = links.consent_digest
left join changes as newest on newest.organisation = :organisation
    and newest.number = person.number
left join acknowledgements on acknowledgements.organisation = :organisation;

-- name: list_links_of_person
-- Current and former links with the texts agreed to, newest first.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where links.organisation = :organisation
    and links.person_key = :person_key
order by linked_at desc, id
limit :limit;

-- name: list_links
-- A page of an organisation's current links with the texts agreed to, by person_key.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and person_key > :after
    and ended_at is null
order by person_key
limit :limit;

-- name: list_link_summaries
-- A page of an organisation's current links that are not suspended, by person_key: the columns of a feed snapshot.
select id, person_key, account, registry, orcid, linked_at, record_state
from links
where organisation = :organisation
    and person_key > :after
    and ended_at is null
    and suspended_at is null
order by person_key
limit :limit;

-- name: list_linked_keys
-- A page of the people of an organisation who have a current link.
select person_key
from links
where organisation = :organisation
    and person_key > :after
    and ended_at is null
order by person_key
limit :limit;

-- name: count_links
-- Number of current links.
select count(*) as count
from links
where organisation = :organisation
    and ended_at is null;

-- name: get_last_reassignment
-- When this account was last found to be another person's than before, or its person's link moved to another account.
select at
from events
where organisation = :organisation
    and person_key = :person_key
    and kind in ('reassigned', 'moved-away')
order by number desc
limit 1;

-- name: insert_consent_text
-- Does nothing where the text is there already.
insert into consent_texts (digest, version, language, text)
values (:digest, :version, :language, :text)
on conflict (digest) do nothing;

-- name: insert_link
insert into links (
    id, organisation, person_key, account, account_issued_at, stable_id, last_seen_on, registry, orcid, linked_at,
    consent_digest, consent_at, source, authenticated_at, record_state, record_since, record_checked_at, record_primary,
    next_check_at
)
values (
    :id, :organisation, :person_key, :account, :account_issued_at, :stable_id, :last_seen_on, :registry, :orcid,
    :linked_at, :consent_digest, :consent_at, :source, :authenticated_at, :record_state, :record_since,
    :record_checked_at, :record_primary, :linked_at
);

-- name: confirm_attested_link
-- The person has authenticated the iD of a link that the organisation attested.
update links
set account = :account,
    account_issued_at = :account_issued_at,
    stable_id = :stable_id,
    last_seen_on = :last_seen_on,
    linked_at = :linked_at,
    consent_digest = :consent_digest,
    consent_at = :consent_at,
    source = :source,
    authenticated_at = :authenticated_at
where id = :id
    and ended_at is null;

-- name: insert_link_if_free
-- Inserts a row if neither the person nor the iD has a current link in the organisation.
insert into links (
    id, organisation, person_key, account, account_issued_at, stable_id, last_seen_on, registry, orcid, linked_at,
    consent_digest, consent_at, source, authenticated_at, record_state, record_since, record_checked_at, record_primary,
    next_check_at
)
values (
    :id, :organisation, :person_key, :account, :account_issued_at, :stable_id, :last_seen_on, :registry, :orcid,
    :linked_at, :consent_digest, :consent_at, :source, :authenticated_at, :record_state, :record_since,
    :record_checked_at, :record_primary, :linked_at
)
on conflict do nothing;

-- name: record_sign_in
-- Changes a row if the link is current and nothing else was recorded meanwhile.
update links
set last_seen_on = :day,
    account_issued_at = :account_issued_at,
    stable_id = :stable_id
where id = :id
    and person_key = :person_key
    and ended_at is null
    and account_issued_at = :known_issued_at
    and stable_id = :known_stable_id;

-- name: list_links_by_stable_id
-- The current links with this stable id, two at most.
select links.*, consent_texts.version, consent_texts.language, consent_texts.text
from links
join consent_texts on consent_texts.digest = links.consent_digest
where organisation = :organisation
    and stable_id = :stable_id
    and stable_id <> ''
    and ended_at is null
limit 2;

-- name: list_rename_conflicts
-- Pairs of accounts of which one looks renamed to the other, because they have one stable id, and which a sign-in cannot
-- bring together: both have a current link, or the one with the link was used on or after the day on which the other
-- came to link an iD. The account that was seen first is the first.
select
    one.person_key as person_key,
    other.person_key as other_person_key
from links as one
join links as other on other.organisation = one.organisation
    and other.stable_id = one.stable_id
    and other.stable_id <> ''
    and other.ended_at is null
    and other.id <> one.id
where one.organisation = :organisation
    and one.stable_id <> ''
    and one.ended_at is null
    and (
        coalesce(one.last_seen_on, '') < coalesce(other.last_seen_on, '')
        or (coalesce(one.last_seen_on, '') = coalesce(other.last_seen_on, '') and one.person_key < other.person_key)
    )
union
select
    links.person_key as person_key,
    attempts.person_key as other_person_key
from attempts
join links on links.organisation = attempts.organisation
    and links.stable_id = attempts.stable_id
    and links.stable_id <> ''
    and links.ended_at is null
    and links.person_key <> attempts.person_key
    and links.last_seen_on >= substr(attempts.started_at, 1, 10)
where attempts.organisation = :organisation
    and attempts.stable_id <> ''
    and not exists (
        select 1
        from links as own
        where own.organisation = attempts.organisation
            and own.person_key = attempts.person_key
            and own.ended_at is null
    )
order by person_key, other_person_key
limit :limit;

-- name: move_link
-- The change `moved` tells receivers that the account has the iD, so a suspended link is not suspended any more: the next
-- look-up, which is due at once, suspends it again.
update links
set person_key = :person_key,
    account = :account,
    account_issued_at = :account_issued_at,
    stable_id = :stable_id,
    last_seen_on = :day,
    suspended_at = null,
    next_check_at = case when suspended_at is null then next_check_at else :now end
where id = :id
    and ended_at is null;

-- name: end_link
-- Changes a row if the link was current.
update links
set ended_at = :now,
    ended_by = :actor
where id = :id
    and ended_at is null;

-- name: delete_links_of_person
-- Current and former links.
delete from links
where organisation = :organisation
    and person_key = :person_key;
