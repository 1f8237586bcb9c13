-- name: get_attestation_history
-- Whose iD this is, and what else decides whether the organisation may attest it for a person. Always one row.
select
    (
        select held.person_key
        from links as held
        where held.organisation = :organisation
            and held.registry = :registry
            and held.orcid = :orcid
            and held.orcid <> ''
            and held.ended_at is null
    ) as holder,
    -- when the account was last found to have another holder, or its holder to have another account
    (
        select max(events.at)
        from events
        where events.organisation = :organisation
            and events.person_key = :person_key
            and events.kind in ('reassigned', 'moved-away')
    ) as reassigned_at,
    -- when the organisation last reported that the account's holder has left
    (
        select max(ended.ended_at)
        from links as ended
        where ended.organisation = :organisation
            and ended.person_key = :person_key
            and ended.ended_at is not null
            and ended.ended_by = 'organisation'
    ) as left_at,
    -- when the person removed a link of this account, or an operator for them
    (
        select max(ended.ended_at)
        from links as ended
        where ended.organisation = :organisation
            and ended.person_key = :person_key
            and ended.ended_at is not null
            and ended.ended_by in ('person', 'operator')
    ) as account_removed_at,
    -- when a person removed a link with this iD: of this account, or of the one that the person had before
    (
        select max(ended.ended_at)
        from links as ended
        where ended.organisation = :organisation
            and ended.registry = :registry
            and ended.orcid = :orcid
            and ended.orcid <> ''
            and ended.ended_at is not null
            and ended.ended_by = 'person'
    ) as orcid_removed_at,
    -- whether ORCID has merged this iD into another one
    exists (
        select 1
        from links as ended
        where ended.organisation = :organisation
            and ended.person_key = :person_key
            and ended.ended_at is not null
            and ended.registry = :registry
            and ended.orcid = :orcid
            and ended.record_state = 'deprecated'
    ) as is_merged,
    exists (
        select 1
        from erasures
        where erasures.organisation = :organisation
            and erasures.person_key = :person_key
    ) as erasure_pending,
    exists (
        select 1
        from pending_removals
        where pending_removals.organisation = :organisation
            and pending_removals.person_key = :person_key
            and pending_removals.source is not null
    ) as removal_pending;

-- name: update_attested_link
update links
set source = :source,
    authenticated_at = :authenticated_at,
    consent_digest = :consent_digest,
    consent_at = :now
where id = :id;

-- name: list_attestation_refusals
-- The facts of the newest events that an iD was not stored because the person had linked another one.
select facts
from events
where organisation = :organisation
    and person_key = :person_key
    and kind = 'attestation-refused'
order by number desc
limit 20;
