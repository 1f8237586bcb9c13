-- All times are UTC text of one width, so that they sort as text: 2026-01-15T10:00:00.000000Z
-- `organisation` is the organisation's id: the name of its file, never an entityID, which may change.
-- `person_key` is the folded value of the organisation's key attribute.

-- Started linkings. They expire after an hour and are deleted a day later; no other table refers to them.
create table attempts (
    id text not null primary key,
    -- SHA-256 of the `state` parameter; the state itself is not stored
    state_hash text not null unique,
    organisation text not null,
    person_key text not null,
    account text not null,
    -- of the account's holder when the attempt was started, as in links
    account_issued_at text not null,
    stable_id text not null,
    -- hash of the secret in the browser's cookie
    browser_hash text not null,
    started_at text not null,
    expires_at text not null,
    -- when ORCID's answer came back: a state works once
    consumed_at text,
    registry text check (registry in ('production', 'sandbox')),
    orcid text,
    orcid_name text not null,
    -- until when the holder of the iD may give it to the attempt's account; null where no other account has the iD
    claim_expires_at text,
    -- the OAuth client with which ORCID was asked, and the scope that was requested
    client_id text not null,
    scope text not null,
    -- the address of the service that sent the person here, to which they may go back; empty where none did
    return_to text not null default '',
    closed_at text,
    outcome text,
    check ((registry is null) = (orcid is null)),
    check ((closed_at is null) = (outcome is null)),
    -- the iD is deleted when the attempt is closed
    check (closed_at is null or orcid is null)
);

create index attempts_by_expiry on attempts (expires_at);
create index attempts_of_a_person on attempts (organisation, person_key);
create index attempts_that_claim on attempts (organisation, orcid, started_at, id) where claim_expires_at is not null;

-- One row for each organisation, with the last numbers given. A transaction that writes a link, a change or an event of
-- an organisation locks its row first: numbers follow the order of commits, and what the transaction has read stays true.
create table organisations (
    organisation text not null primary key,
    last_change_number bigint not null check (last_change_number >= 0),
    last_event_number bigint not null check (last_event_number >= 0),
    last_event_hash text not null,
    -- the key attribute when the organisation's first link was made: keys of another attribute would not match
    key_attribute text,
    -- the organisation into which this one was merged; its credentials are refused from then on
    merged_into text,
    -- changes up to this number may have been erased before the feed's reader fetched them: a reader that has not come
    -- so far needs a new snapshot
    erased_through bigint not null default 0
);

-- The Identity Providers through which people signed in, or were refused because no file has the entityID. Written at
-- most once a day for each, so that it does not show a person's visits.
create table identity_providers (
    -- where people were refused: whose scope their account has, or whose former entityID it is; empty if no organisation's
    organisation text not null,
    entity_id text not null,
    -- the last day on which it happened; null where it never did
    signed_in_at text,
    refused_at text,
    primary key (organisation, entity_id)
);

-- The texts that people agreed to. The digest is the key: the same version with other words is another row.
create table consent_texts (
    digest text not null primary key,
    version text not null,
    language text not null,
    text text not null
);

-- ORCID iDs linked to accounts, current ones (ended_at is null) and former ones.
create table links (
    id text not null primary key,
    organisation text not null,
    person_key text not null,
    account text not null,
    -- as the organisation's Identity Provider released it first; empty where it does not
    account_issued_at text not null,
    -- the holder's stable id, as `subject-id:abc123@example.org`, in lower case after the attribute; empty where none is
    -- known
    stable_id text not null default '',
    -- the day, as 2026-01-15, of the last sign-in with this account
    last_seen_on text,
    registry text not null check (registry in ('production', 'sandbox')),
    orcid text not null,
    linked_at text not null,
    consent_digest text not null references consent_texts (digest),
    consent_at text not null,
    ended_at text,
    -- `organisation`: it reported that the person has left; `attester`: a system of it no longer attests the iD, or
    -- attested another one
    ended_by text check (ended_by in ('person', 'operator', 'organisation', 'attester', 'service')),
    -- where the person authenticated the iD: `orcid`, or the name of a system that the organisation attests
    source text not null default 'orcid',
    -- when they did, if that was not when the link was made
    authenticated_at text,
    -- whether sign-ins showed that the organisation's Identity Provider releases the iD; a state is only replaced by one
    -- that is later in the alphabet
    release_state text check (release_state in ('missing', 'other', 'seen')),
    release_at text,
    -- the state of the iD's record at ORCID, since when a look-up has shown it, and when one showed it last; all three
    -- are null before the first
    record_state text check (record_state in ('ok', 'deprecated', 'deactivated', 'locked', 'not-found')),
    record_since text,
    record_checked_at text,
    -- the iD into which ORCID merged a deprecated one; null where none that is in use is known
    record_primary text,
    -- when the worker looks it up next
    next_check_at text not null,
    -- since when the iD is not released, because ORCID deactivated or locked its record
    suspended_at text,
    check ((ended_at is null) = (ended_by is null)),
    check ((release_at is null) = (release_state is null)),
    check ((record_state is null) = (record_since is null) and (record_state is null) = (record_checked_at is null)),
    check (record_primary is null or record_state = 'deprecated')
);

create unique index one_current_link_for_a_person
    on links (organisation, person_key)
    where ended_at is null;

-- The iD is the first column, and the condition on it, which is never empty, keeps queries for one person from the index:
-- without statistics, PostgreSQL read all of an organisation's links by it to find one person's. Queries for an iD say
-- `orcid <> ''`.
create unique index one_person_for_an_orcid_id
    on links (orcid, registry, organisation)
    where ended_at is null
    and orcid <> '';

-- Finds the link of a renamed account.
create index links_by_stable_id
    on links (organisation, stable_id)
    where ended_at is null
    and stable_id <> '';

-- Current and former links. The person is first, so that lists of an organisation's current links, by person, never use
-- this index.
create index links_of_a_person
    on links (person_key, organisation, linked_at);

-- Finds the iD that a person removed under an earlier account. The condition on the iD is as above.
create index ended_links_by_orcid_id
    on links (orcid, registry, organisation, ended_at)
    where ended_at is not null
    and orcid <> '';

-- With ended_at in it, counting reads the index alone. Links without a state are left out: they cost a new link nothing.
create index links_by_release
    on links (organisation, release_state, ended_at)
    where ended_at is null
    and release_state is not null;

-- The look-ups of iDs that are due. The condition on next_check_at, which is never empty, keeps other queries from the
-- index: without statistics, PostgreSQL read all of it to find one person's link.
create index links_by_next_check
    on links (registry, next_check_at)
    where ended_at is null
    and next_check_at <> '';

-- Links whose iD's record is not in its normal state, which are few.
create index links_by_record_state
    on links (organisation, record_state)
    where ended_at is null
    and record_state <> 'ok';

-- The pairs of access and refresh token that ORCID gave, where a sealing key is configured. A pair belongs to an attempt
-- until the person has confirmed, then to a link. When neither is there any more it is due to be revoked at ORCID, and
-- after that the row stays for a while without it. The person is found by the link or the attempt.
create table orcid_tokens (
    -- random; the sealed text contains it too, so that it opens in no other row
    id text not null primary key,
    organisation text not null,
    -- in which ORCID gave it; null once it belongs to a link
    attempt text,
    -- null until the person has confirmed
    link text,
    -- the ORCID client that got it: the service's, or the organisation's own
    client_id text not null,
    -- as granted, in alphabetical order with spaces between
    scope text not null,
    -- both tokens, encrypted; null once they are revoked
    sealed text,
    obtained_at text not null,
    -- null where ORCID did not say
    expires_at text,
    -- when ORCID refused the access token: it no longer accepts the permission
    withdrawn_at text,
    -- since when neither an open attempt nor a current link needs it; and when it is tried next to revoke it
    revocation_due_at text,
    next_try_at text,
    -- number of tries to revoke it, with the one in progress
    tries bigint not null check (tries >= 0),
    -- of the last try; null before the first
    outcome text check (outcome in ('temporary', 'misconfigured', 'unreadable')),
    lease_expires_at text,
    leased_by text,
    revoked_at text,
    check (attempt is null or link is null),
    check ((sealed is null) = (revoked_at is not null)),
    check ((revocation_due_at is null) = (next_try_at is null)),
    check (revoked_at is null or revocation_due_at is not null),
    check ((lease_expires_at is null) = (leased_by is null))
);

create index orcid_tokens_of_an_attempt on orcid_tokens (attempt) where attempt is not null;
create index orcid_tokens_of_a_link on orcid_tokens (link) where link is not null;
create index orcid_tokens_due on orcid_tokens (client_id, next_try_at)
    where next_try_at is not null
    and revoked_at is null;

-- What an organisation writes to ORCID records: the permission of a person who ticked the box for it, and what the
-- organisation's Identity Provider said last of this person. A former link's permission counts no more.
create table affiliation_permissions (
    link_id text not null primary key references links (id) on delete cascade,
    consent_digest text not null references consent_texts (digest),
    consent_at text not null,
    -- the sections of the record in which there is something to write, in alphabetical order: `education employment`
    sections text not null,
    -- empty where none is known
    department text not null,
    title text not null,
    -- when the Identity Provider first said so
    said_at text not null,
    -- since when there has been no access token with which to write: the person did not permit it at ORCID, or ORCID no
    -- longer accepts the permission; null while there is one
    refused_at text
);

-- The items that the service wrote to ORCID records. A row is inserted before ORCID is asked to add the item.
create table affiliation_items (
    link_id text not null references links (id) on delete cascade,
    section text not null check (section in ('education', 'employment')),
    -- the ORCID client that writes it, which alone can change and end it: the organisation's own, or its former one
    client_id text not null,
    -- ORCID's number of the item; null while it is not known whether ORCID added it, and where there is none
    put_code text,
    -- `closed`: it has an end date; `deleted`: the person deleted it at ORCID; `left`: nothing was added, because another
    -- system of the organisation has written the affiliation
    state text not null check (state in ('pending', 'written', 'closed', 'deleted', 'left')),
    changed_at text not null,
    primary key (link_id, section),
    check ((put_code is null) = (state in ('pending', 'left')))
);

-- The requests that each ORCID client may send to the member API: when, in milliseconds since 1970, the next one may be
-- sent. All processes share it.
create table request_slots (
    client_id text not null primary key,
    next_at bigint not null
);

-- The round of look-ups at ORCID, one row for each registry.
create table status_rounds (
    registry text not null primary key check (registry in ('production', 'sandbox')),
    -- no worker begins a batch before this time; while one is at work, it is when its lease expires
    next_batch_at text not null,
    -- batches since the last one that ORCID answered completely
    failures bigint not null check (failures >= 0),
    -- the UTC day, as 2026-01-15, of the last request, and the number of requests on it
    day text not null,
    requests bigint not null check (requests >= 0)
);

-- What Identity Providers may read by SQL: the current iD of each person. `account` is the person_key. The name of the
-- attribute is quoted because PostgreSQL would fold it to lower case, which an Identity Provider does not know.
create view idp_release as
select
    organisation,
    registry,
    person_key as account,
    case registry
        when 'production' then 'https://orcid.org/'
        else 'https://sandbox.orcid.org/'
    end || orcid as "eduPersonOrcid",
    account_issued_at,
    stable_id
from links
where ended_at is null
    and suspended_at is null;

-- Changes of links, numbered 1, 2, 3 … for each organisation without gaps.
create table changes (
    organisation text not null,
    number bigint not null check (number > 0),
    -- random and permanent: identifies the change to the organisation even if a restored backup reuses its number
    id text not null,
    kind text not null check (kind in ('linked', 'replaced', 'removed', 'moved')),
    person_key text not null,
    account text not null,
    -- only of `moved`: the account that the link had before
    previous_person_key text,
    previous_account text,
    registry text check (registry in ('production', 'sandbox')),
    orcid text,
    previous_registry text check (previous_registry in ('production', 'sandbox')),
    previous_orcid text,
    at text not null,
    -- why it was made, where the kind does not say all
    reason text check (reason in ('deprecated', 'suspended', 'resumed', 'merged', 'moved', 'attested')),
    -- the name of the credential whose system attested it and is not told of it again, because all earlier changes of the
    -- person and of the iD are its own too; null of all others
    attested_by text,
    primary key (organisation, number),
    check ((registry is null) = (orcid is null)),
    check ((previous_registry is null) = (previous_orcid is null)),
    check ((orcid is null) = (kind = 'removed')),
    check ((previous_orcid is null) = (kind in ('linked', 'moved'))),
    check ((previous_person_key is null) = (kind <> 'moved')),
    check ((previous_account is null) = (kind <> 'moved'))
);

-- The person is the first column, so that a query can find their changes without the organisation: without statistics,
-- PostgreSQL read all changes of the organisation by the primary key to find one person's.
create index changes_of_a_person on changes (person_key, organisation, number);
create index changes_by_previous_person on changes (organisation, previous_person_key)
    where previous_person_key is not null;
create index changes_by_orcid on changes (orcid);
create index changes_by_previous_orcid on changes (previous_orcid);

-- The number of the last change that an organisation has acknowledged in its feed.
create table acknowledgements (
    organisation text not null primary key,
    number bigint not null check (number >= 0),
    at text not null
);

-- The circuit breaker of each transfer that was ever owed a delivery. open_until is null: closed; in the future: open;
-- in the past: half-open, one delivery at a time until one succeeds.
create table circuit_breakers (
    organisation text not null,
    transfer text not null,
    consecutive_failures bigint not null check (consecutive_failures >= 0),
    open_until text,
    primary key (organisation, transfer)
);

-- The outbox: one row for each change and transfer, inserted with the change. Finished deliveries stay, to be shown.
create table deliveries (
    organisation text not null,
    change_number bigint not null check (change_number > 0),
    transfer text not null,
    kind text not null check (kind in ('linked', 'replaced', 'removed', 'moved')),
    -- null after the person's data was erased
    person_key text,
    state text not null check (state in ('waiting', 'done', 'dead-letter')),
    -- of the last try
    outcome text,
    -- what the receiver said
    message text not null,
    -- number of tries since queued_at, with the one in progress
    tries bigint not null check (tries >= 0),
    created_at text not null,
    -- when it was created, or retried after it had been a dead letter
    queued_at text not null,
    next_try_at text not null,
    -- when the last try ended
    last_try_at text,
    lease_expires_at text,
    leased_by text,
    finished_at text,
    primary key (organisation, change_number, transfer),
    check ((lease_expires_at is null) = (leased_by is null)),
    check (lease_expires_at is null or state = 'waiting'),
    check ((finished_at is null) = (state = 'waiting')),
    check (person_key is not null or state <> 'waiting')
);

create index deliveries_due
    on deliveries (organisation, transfer, next_try_at, change_number)
    where state = 'waiting';

create index deliveries_leased
    on deliveries (organisation, transfer, lease_expires_at)
    where lease_expires_at is not null;

create index deliveries_of_a_person
    on deliveries (organisation, person_key, transfer, state, change_number);

create index deliveries_by_state
    on deliveries (organisation, transfer, state, change_number, created_at);

-- The deliveries whose change shares a person, by the key now or before a move, or an iD with a change: `related_to` is
-- its number, and its own deliveries are among them. A person or an iD has few changes, an organisation many: `|| ''`
-- and `+ 0` keep both engines from using an index by which they would read all of those.
create view related_deliveries as
select
    one.organisation,
    one.number as related_to,
    deliveries.change_number + 0 as change_number,
    deliveries.transfer || '' as transfer,
    deliveries.finished_at,
    deliveries.lease_expires_at
from changes as one
join changes as other
    on (other.organisation = one.organisation and other.person_key = one.person_key)
    or (other.organisation = one.organisation and other.person_key = one.previous_person_key)
    or (other.organisation = one.organisation and other.previous_person_key = one.person_key)
    or (other.organisation = one.organisation and other.previous_person_key = one.previous_person_key)
    or (other.organisation || '' = one.organisation and other.orcid in (one.orcid, one.previous_orcid))
    or (other.organisation || '' = one.organisation and other.previous_orcid in (one.orcid, one.previous_orcid))
join deliveries on deliveries.organisation = other.organisation || ''
    and deliveries.change_number = other.number + 0;

-- The audit log. Each event's hash covers the hash of the event before it; sql/audit.py describes how.
create table events (
    organisation text not null,
    number bigint not null check (number > 0),
    at text not null,
    kind text not null,
    actor text not null check (actor in ('person', 'operator', 'organisation', 'service')),
    -- both null after an erasure; the digest stays, so that the chain can still be verified
    person_key text,
    facts text,
    digest text not null,
    hash text not null,
    primary key (organisation, number)
);

create index events_of_a_person on events (organisation, person_key, number);

-- Up to which event a person has confirmed to have read what others did to their link.
create table read_events (
    organisation text not null,
    person_key text not null,
    event_number bigint not null check (event_number >= 0),
    at text not null,
    primary key (organisation, person_key)
);

-- Counts of attempts and events by organisation, period and name, without personal data; they outlive what was counted.
create table period_counts (
    -- empty for refused sign-ins at none that is known
    organisation text not null,
    -- of the period: 10 of a day, 7 of a month, 0 of all time
    length integer not null check (length in (10, 7, 0)),
    -- in UTC, as 2026-01-15 or 2026-01; empty for all time
    period text not null,
    -- attempts are counted when they are deleted, events some time after they were written, revocations of ORCID's tokens
    -- and refused sign-ins at once
    source text not null check (source in ('attempt', 'event', 'revocation', 'sign-in')),
    -- an attempt's outcome or `started`, an event's kind, what a revocation came to, or why a sign-in was refused
    name text not null,
    count bigint not null check (count >= 0),
    primary key (organisation, length, period, source, name)
);

-- The number of the last event of an organisation that period_counts includes.
create table counted_events (
    organisation text not null primary key,
    number bigint not null check (number >= 0)
);

-- When the rights of organisations' credentials were used. The connector writes a row at most once a day.
create table credential_rights (
    organisation text not null,
    -- the name of the credential in the configuration
    credential text not null,
    access_right text not null,
    -- the day, as 2026-01-15, on which a connector first had the right in its configuration
    since text not null,
    last_used_on text,
    primary key (organisation, credential, access_right)
);

-- What the incident numbers on problem pages refer to.
create table incidents (
    number text not null primary key,
    at text not null,
    -- the problem's code in the log
    code text not null,
    -- null where it is not known
    organisation text,
    -- the path of the route, never the requested address
    route text not null
);

create index incidents_by_time on incidents (at);

-- Requests of people to be erased. The removal of their link has to reach the organisation first.
create table erasures (
    id text not null primary key,
    organisation text not null,
    -- null when the erasure is finished; the row stays until the database's files have been rewritten
    person_key text,
    -- the person's last change and the organisation's last event at the time of the request; 0 where there was none
    change_number bigint not null check (change_number >= 0),
    event_number bigint not null check (event_number >= 0),
    -- whether the organisation may read the removal from its feed
    uses_feed bigint not null check (uses_feed in (0, 1)),
    requested_at text not null,
    finished_at text,
    check ((person_key is null) = (finished_at is not null))
);

create unique index one_erasure_for_a_person
    on erasures (organisation, person_key)
    where person_key is not null;

-- Links that are going to be removed, because an organisation's list of accounts, or of the iDs that it attests, does not
-- have the person's. There are rows of one list at a time. The worker removes a link when it is due, unless it was cancelled by then.
create table pending_removals (
    organisation text not null,
    person_key text not null,
    -- the current link when the list came; no other link of the person is removed
    link_id text not null,
    actor text not null check (actor in ('operator', 'organisation')),
    -- of a list of iDs that the organisation attests: the system whose links may be removed; null of a list of accounts
    source text,
    -- the credential with which that list came; null of the command line
    credential text,
    requested_at text not null,
    due_at text not null,
    primary key (organisation, person_key)
);

create index pending_removals_due on pending_removals (due_at);

-- E-mail that people asked for, one of each kind for each change.
create table mails (
    organisation text not null,
    person_key text not null,
    kind text not null check (kind in ('receipt', 'delivery-report')),
    -- the change that it is about; 0 where none is kept
    change_number bigint not null check (change_number >= 0),
    -- null after it was sent or given up
    address text,
    language text not null,
    requested_at text not null,
    tries bigint not null check (tries >= 0),
    -- moved forward before each try, which keeps other workers from sending it too
    next_try_at text not null,
    finished_at text,
    primary key (organisation, person_key, kind, change_number),
    check ((address is null) = (finished_at is not null))
);

create index mails_due on mails (next_try_at) where finished_at is null;
