-- name: note_release(id, state, now)!
-- One if the link holds and this tells more of its release than was known: missing, then other, then seen.
update links
set release_state = :state,
    release_at = :now
where id = :id
    and ended_at is null
    and coalesce(release_state, '') < :state;

-- name: release_counts(organisation)^
-- How many current links an organisation has, and of how many which release is known: each counted in an index.
select
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
    ) as linked,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'seen'
    ) as seen,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'other'
    ) as other,
    (
        select count(*)
        from links
        where organisation = :organisation
            and ended_at is null
            and release_state = 'missing'
    ) as missing;

-- name: count_linked_before(organisation, before, most)^
-- How many current links were made before a moment, counted up to a number.
select count(*) as count
from (
    select 1
    from links
    where organisation = :organisation
        and ended_at is null
        and linked_at < :before
    limit :most
) as old;
