-- Every flow of money and access: other ways to pay, refunds, suspensions, and the whole story.
-- depends: 20261123_02_supervision

-- migrate: apply

-- An invoice of a provider's own, and who decided about an order that is paid outside.
ALTER TABLE purchases ADD COLUMN pay_url text,
    ALTER COLUMN decided_by TYPE text,
    ADD COLUMN decided_at timestamptz;
CREATE INDEX purchases_claimed ON purchases (user_id) WHERE status = 'awaiting_admin';

-- `number` is what people call a payment; `provider_ref` is the provider's second id of it.
ALTER TABLE payments ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN provider_ref text,
    ADD COLUMN refund_attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN settled_at timestamptz,
    ADD COLUMN refunded_at timestamptz;
CREATE UNIQUE INDEX payments_by_number ON payments (number);
CREATE INDEX payments_of_user ON payments (user_id);
CREATE INDEX payments_of_purchase ON payments (purchase_id);
CREATE INDEX payments_held ON payments (received_at) WHERE disposition = 'mismatch';

-- No row gives more than ten years (config.plans.LONGEST_PERIOD_S): whatever computed it is wrong.
ALTER TABLE ledger ADD CONSTRAINT ledger_within_bounds CHECK (abs(delta_s) <= 316224000);
CREATE INDEX ledger_given ON ledger (at) WHERE source_kind IN ('grant', 'trial');

-- Why a credential was made: to open access, in place of a lost or leaked one, or on another node.
ALTER TABLE credentials ADD COLUMN origin text NOT NULL DEFAULT 'access'
    CHECK (origin IN ('access', 'reissue', 'move')),
    ADD COLUMN operation_id text CONSTRAINT credentials_operation_once UNIQUE;

-- Bugs of ours are counted apart from what Telegram could not take just now.
ALTER TABLE outbox ADD COLUMN bugs integer NOT NULL DEFAULT 0;

-- The same command of an owner is one act, however often it comes.
ALTER TABLE admin_actions ADD COLUMN operation_id text
    CONSTRAINT admin_actions_operation_once UNIQUE;
CREATE INDEX admin_actions_by_target ON admin_actions (target, id);

-- How far each provider's list of charges was read, and what that found.
CREATE TABLE pollers (
    provider text PRIMARY KEY,
    cursor text,
    last_success_at timestamptz,
    repairs bigint NOT NULL DEFAULT 0
);

-- What became of orders, payments, credentials and users, step by step. Written by triggers, so
-- that no code can forget it.
CREATE TABLE history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    user_id bigint,
    kind text NOT NULL,
    subject text NOT NULL,
    event text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX history_of_user ON history (user_id, id);
CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

CREATE FUNCTION note_purchases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT n.user_id, 'purchase', n.id::text, n.status, jsonb_build_object('plan', n.plan_id,
            'price', n.price, 'currency', n.currency, 'provider', n.provider, 'kind', n.kind)
        FROM new_rows n;
    ELSE
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT n.user_id, 'purchase', n.id::text, n.status, jsonb_strip_nulls(jsonb_build_object(
            'plan', n.plan_id, 'by', n.decided_by))
        FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.status <> o.status;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER purchases_made AFTER INSERT ON purchases
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_purchases();
CREATE TRIGGER purchases_moved AFTER UPDATE ON purchases
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_purchases();

CREATE FUNCTION note_payments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT n.user_id, 'payment', n.number::text, n.disposition, jsonb_build_object(
            'amount', n.amount, 'currency', n.currency, 'provider', n.provider,
            'id', n.provider_payment_id, 'purchase', n.purchase_id)
        FROM new_rows n;
    ELSE
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT n.user_id, 'payment', n.number::text, n.disposition, jsonb_strip_nulls(
            jsonb_build_object('amount', n.amount, 'currency', n.currency, 'provider', n.provider,
                'reason', n.reason, 'late', nullif(n.late, false), 'over', nullif(n.over, false),
                'duplicate_invoice', nullif(n.duplicate_invoice, false)))
        FROM new_rows n
            JOIN old_rows o USING (provider, provider_payment_id)
        WHERE n.disposition <> o.disposition;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER payments_made AFTER INSERT ON payments
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_payments();
CREATE TRIGGER payments_moved AFTER UPDATE ON payments
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_payments();

-- A uuid opens the door: eight characters of it name it well enough.
CREATE FUNCTION note_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT s.user_id, 'key', left(n.uuid::text, 8), 'wished', jsonb_build_object(
            'desired', n.desired, 'gen', n.gen, 'node', n.node_id, 'origin', n.origin)
        FROM new_rows n JOIN subscriptions s ON s.id = n.subscription_id;
    ELSE
        INSERT INTO history (user_id, kind, subject, event, details)
        SELECT s.user_id, 'key', left(n.uuid::text, 8),
            CASE WHEN n.gen > o.gen THEN 'wished'
                WHEN n.applied_gen > o.applied_gen THEN 'confirmed' ELSE 'set_aside' END,
            jsonb_build_object('desired', n.desired, 'gen', n.gen, 'node', n.node_id,
                'origin', n.origin)
        FROM new_rows n JOIN old_rows o ON o.uuid = n.uuid
            JOIN subscriptions s ON s.id = n.subscription_id
        WHERE n.gen > o.gen OR n.applied_gen > o.applied_gen
            OR (n.quarantined_at IS NOT NULL AND o.quarantined_at IS NULL);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER credentials_made AFTER INSERT ON credentials
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_credentials();
CREATE TRIGGER credentials_moved AFTER UPDATE ON credentials
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_credentials();

CREATE FUNCTION note_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history (user_id, kind, subject, event)
        SELECT n.tg_id, 'user', n.tg_id::text, 'met' FROM new_rows n;
    ELSE
        INSERT INTO history (user_id, kind, subject, event)
        SELECT n.tg_id, 'user', n.tg_id::text,
            CASE WHEN n.status <> o.status THEN n.status
                WHEN n.reachable THEN 'reachable' ELSE 'unreachable' END
        FROM new_rows n JOIN old_rows o ON o.tg_id = n.tg_id
        WHERE n.status <> o.status OR n.reachable <> o.reachable;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_made AFTER INSERT ON users
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_users();
CREATE TRIGGER users_moved AFTER UPDATE ON users
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_users();

-- What was told. A message that is edited again and again is told each time.
CREATE FUNCTION note_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (user_id, kind, subject, event, details)
    SELECT n.user_id, 'notice', n.id::text, n.state, jsonb_strip_nulls(jsonb_build_object(
        'notice', n.payload->>'notice', 'text', n.payload->>'text_id'))
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n.state <> o.state AND n.state <> 'due' AND n.user_id IS NOT NULL
        AND n.kind = 'notify';
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_moved AFTER UPDATE ON outbox
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_outbox();

-- migrate: rollback

DROP TRIGGER outbox_moved ON outbox;
DROP TRIGGER users_moved ON users;
DROP TRIGGER users_made ON users;
DROP TRIGGER credentials_moved ON credentials;
DROP TRIGGER credentials_made ON credentials;
DROP TRIGGER payments_moved ON payments;
DROP TRIGGER payments_made ON payments;
DROP TRIGGER purchases_moved ON purchases;
DROP TRIGGER purchases_made ON purchases;
DROP FUNCTION note_outbox, note_users, note_credentials, note_payments, note_purchases;
DROP TABLE history, pollers;
DROP INDEX admin_actions_by_target;
ALTER TABLE admin_actions DROP COLUMN operation_id;
ALTER TABLE outbox DROP COLUMN bugs;
ALTER TABLE credentials DROP COLUMN operation_id, DROP COLUMN origin;
DROP INDEX ledger_given;
ALTER TABLE ledger DROP CONSTRAINT ledger_within_bounds;
DROP INDEX purchases_claimed;
DROP INDEX payments_held, payments_of_purchase, payments_of_user, payments_by_number;
ALTER TABLE payments DROP COLUMN refunded_at, DROP COLUMN settled_at,
    DROP COLUMN refund_attempts, DROP COLUMN provider_ref, DROP COLUMN number;
ALTER TABLE purchases DROP COLUMN decided_at,
    ALTER COLUMN decided_by TYPE bigint USING NULL, DROP COLUMN pay_url;
