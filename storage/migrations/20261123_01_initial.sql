-- The records of a purchase: what was asked, paid, owed, applied and told.
-- depends:

-- migrate: apply

CREATE TABLE system (
    db_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    bot_id bigint,
    keys_fingerprint text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX system_has_one_row ON system ((true));
INSERT INTO system DEFAULT VALUES;

-- How far this database has come: told to nodes, which show it back (a restored backup is behind).
CREATE SEQUENCE writer_seq;

-- Who owns the database. Every transaction with an effect proves the epoch it was started under.
CREATE TABLE shards (
    id smallint PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    owner uuid,
    backend_pid integer,
    backend_start timestamptz,
    seen_at timestamptz
);
INSERT INTO shards (id) VALUES (0);

CREATE TABLE users (
    tg_id bigint PRIMARY KEY CHECK (tg_id > 0),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'banned')),
    language text NOT NULL CHECK (language ~ '^[a-z]{2}$'),
    reachable boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE nodes (
    id text PRIMARY KEY,
    state text NOT NULL DEFAULT 'active'
        CHECK (state IN ('active', 'draining', 'frozen', 'lost', 'removed')),
    epoch uuid,
    writer_seq_acked bigint NOT NULL DEFAULT 0,
    auth_hold_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE subscriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id bigint NOT NULL CONSTRAINT subscriptions_one_a_user UNIQUE REFERENCES users,
    plan_id text NOT NULL,
    status text NOT NULL DEFAULT 'none'
        CHECK (status IN ('none', 'activating', 'active', 'expired', 'suspended')),
    expires_at timestamptz,
    pending_s bigint NOT NULL DEFAULT 0 CHECK (pending_s >= 0),
    version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subscriptions_active_time_runs
        CHECK (status <> 'active' OR (expires_at IS NOT NULL AND pending_s = 0))
);
CREATE INDEX subscriptions_by_expiry ON subscriptions (expires_at) WHERE status = 'active';

CREATE TABLE purchases (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    kind text NOT NULL CHECK (kind IN ('new', 'renew', 'change', 'trial', 'grant')),
    plan_id text NOT NULL,
    node_id text NOT NULL REFERENCES nodes,
    price bigint NOT NULL CHECK (price >= 0),
    currency text NOT NULL,
    period_s bigint NOT NULL CHECK (period_s > 0),
    provider text NOT NULL,
    provider_invoice_id text,
    status text NOT NULL DEFAULT 'created'
        CHECK (status IN ('created', 'awaiting_payment', 'awaiting_admin', 'paid', 'cancelled',
                          'expired', 'rejected', 'refund_pending', 'refunded')),
    operation_id text NOT NULL,
    chat_id bigint NOT NULL,
    message_id bigint,
    invoice_expires_at timestamptz NOT NULL,
    approved_query text,
    approved_at timestamptz,
    fulfilled_at timestamptz,
    decided_by bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT purchases_invoice_once UNIQUE (provider, provider_invoice_id)
);
CREATE INDEX purchases_open ON purchases (user_id, plan_id)
    WHERE status IN ('created', 'awaiting_payment');
CREATE INDEX purchases_unfulfilled ON purchases (user_id)
    WHERE status = 'paid' AND fulfilled_at IS NULL;

-- Raw updates, committed before they are acknowledged. `payload` is text: the bytes as they came.
CREATE TABLE inbox (
    source text NOT NULL,
    source_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    payload text NOT NULL,
    lane bigint,
    received_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    reply text,
    quarantined_at timestamptz,
    PRIMARY KEY (source, source_id)
);
CREATE INDEX inbox_waiting ON inbox (seq) WHERE done_at IS NULL AND quarantined_at IS NULL;
CREATE INDEX inbox_lanes ON inbox (lane, seq) WHERE done_at IS NULL AND quarantined_at IS NULL;

CREATE TABLE payments (
    provider text NOT NULL,
    provider_payment_id text NOT NULL,
    purchase_id uuid REFERENCES purchases,
    user_id bigint NOT NULL REFERENCES users,
    amount bigint NOT NULL,
    currency text NOT NULL,
    body_sha256 bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    disposition text NOT NULL DEFAULT 'received'
        CHECK (disposition IN ('received', 'credited', 'mismatch', 'refund_pending', 'refunded')),
    reason text,
    late boolean NOT NULL DEFAULT false,
    over boolean NOT NULL DEFAULT false,
    duplicate_invoice boolean NOT NULL DEFAULT false,
    PRIMARY KEY (provider, provider_payment_id)
);
CREATE INDEX payments_uncredited ON payments (received_at) WHERE disposition = 'received';

CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions,
    version integer NOT NULL,
    delta_s bigint NOT NULL,
    expires_before timestamptz,
    expires_after timestamptz,
    pending_before bigint NOT NULL,
    pending_after bigint NOT NULL,
    source_kind text NOT NULL,
    source_id text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_source_once UNIQUE (source_kind, source_id),
    CONSTRAINT ledger_version_once UNIQUE (subscription_id, version)
);
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END
$$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- One uuid on one node: what should be (desired, gen) and what is confirmed (applied_gen).
CREATE TABLE credentials (
    uuid uuid PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions,
    node_id text NOT NULL REFERENCES nodes,
    desired text NOT NULL CHECK (desired IN ('present', 'absent')),
    gen bigint NOT NULL DEFAULT 1 CHECK (gen >= 1),
    applied_gen bigint NOT NULL DEFAULT 0 CHECK (applied_gen >= 0),
    first_applied_at timestamptz,
    replaces uuid REFERENCES credentials,
    link_enc bytea,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    last_class text,
    quarantined_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT credentials_confirmed_within_wish CHECK (applied_gen <= gen)
);
CREATE INDEX credentials_by_subscription ON credentials (subscription_id);
CREATE INDEX credentials_due ON credentials (node_id, next_at)
    WHERE applied_gen < gen AND quarantined_at IS NULL;
CREATE UNIQUE INDEX credentials_one_replacement ON credentials (subscription_id)
    WHERE replaces IS NOT NULL AND first_applied_at IS NULL AND desired = 'present';

-- What must be told or paid back. One row a message; `version` grows when its news changes.
CREATE TABLE outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('notify', 'refund', 'alert')),
    user_id bigint REFERENCES users,
    dedupe_key text NOT NULL CONSTRAINT outbox_dedupe UNIQUE,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'sent', 'failed')),
    version integer NOT NULL DEFAULT 1,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'due';

-- migrate: rollback

DROP TABLE outbox, credentials, ledger, payments, inbox, purchases, subscriptions, nodes, users,
    shards, system;
DROP FUNCTION ledger_is_append_only;
DROP SEQUENCE writer_seq;
