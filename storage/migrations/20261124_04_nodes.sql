-- Many nodes that come and go: order among wishes, states with their reasons, comparisons.
-- depends: 20261123_03_money

-- migrate: apply

-- One of many wishes that were made at once: for a rebuilt node, or by a sweep of expiry. The wish
-- of one person goes before.
ALTER TABLE credentials ADD COLUMN bulk boolean NOT NULL DEFAULT false;
-- When the node last confirmed: what it lists from then on must have it.
ALTER TABLE credentials ADD COLUMN applied_at timestamptz;
DROP INDEX credentials_due;
CREATE INDEX credentials_due ON credentials (node_id, desired, bulk, next_at)
    WHERE applied_gen < gen AND quarantined_at IS NULL;
-- What a node should have, in the order of its own list.
CREATE INDEX credentials_of_node ON credentials (node_id, uuid) INCLUDE (desired, gen, applied_gen);

ALTER TABLE nodes ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN changed_by text NOT NULL DEFAULT '',
    -- What a frozen node goes back to.
    ADD COLUMN state_before text,
    -- Whose writing on the node an operator has accepted, although it is not ours.
    ADD COLUMN accepted_writer text;

-- Users of a node that no row knows and an operator wants to stay.
CREATE TABLE adopted_users (
    node_id text NOT NULL REFERENCES nodes,
    uuid uuid NOT NULL,
    adopted_by text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, uuid)
);

-- What each comparison of a node with the database found and did.
CREATE TABLE reconcile_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id text NOT NULL REFERENCES nodes,
    at timestamptz NOT NULL DEFAULT now(),
    took_s double precision NOT NULL,
    outcome text NOT NULL,
    dry_run boolean NOT NULL DEFAULT false,
    on_node bigint NOT NULL,
    wanted bigint NOT NULL,
    missing bigint NOT NULL DEFAULT 0,
    orphans bigint NOT NULL DEFAULT 0,
    raised bigint NOT NULL DEFAULT 0,
    removed bigint NOT NULL DEFAULT 0,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX reconcile_runs_of_node ON reconcile_runs (node_id, id DESC);

-- Who was shut out when: people are told once more, a day later.
CREATE INDEX subscriptions_expired ON subscriptions (expires_at) WHERE status = 'expired';

-- How far a sweep over time has come.
CREATE TABLE watermarks (
    name text PRIMARY KEY,
    upto timestamptz NOT NULL
);

-- migrate: rollback

DROP INDEX subscriptions_expired;
DROP TABLE watermarks, reconcile_runs, adopted_users;
ALTER TABLE nodes DROP COLUMN reason, DROP COLUMN changed_at, DROP COLUMN changed_by,
    DROP COLUMN state_before,
    DROP COLUMN accepted_writer;
DROP INDEX credentials_of_node, credentials_due;
CREATE INDEX credentials_due ON credentials (node_id, next_at)
    WHERE applied_gen < gen AND quarantined_at IS NULL;
ALTER TABLE credentials DROP COLUMN bulk, DROP COLUMN applied_at;
