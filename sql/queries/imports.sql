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
