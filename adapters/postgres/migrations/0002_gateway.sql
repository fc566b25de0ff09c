-- What the gateway knows. Every row that belongs to an enterprise carries its 18-character credit code, and every
-- read filters by it. Rules about concurrency are unique keys here, not code.

-- Content-addressed bytes: raw input, layouts, signed files, marks.
CREATE TABLE origin.blob (
    sha256      bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    kind        text NOT NULL,
    media_type  text NOT NULL,
    content     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
-- Documents are compressed already (PDF) or small: spending CPU on TOAST compression slows the door down.
ALTER TABLE origin.blob ALTER COLUMN content SET STORAGE EXTERNAL;

-- Who may speak to the gateway. The key itself is never stored, only its SHA-256 (256 random bits need no slow hash).
CREATE TABLE origin.client (
    id            text PRIMARY KEY,
    enterprise    text NOT NULL CHECK (length(enterprise) = 18),
    key_sha256    bytea NOT NULL UNIQUE,
    prefix        text NOT NULL DEFAULT '' CHECK (prefix ~ '^[0-9A-Za-z]{0,3}$'),
    prints_itself boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz
);

-- One row a certificate. `state` is what decide() looks at; NULL between the door and the first turn.
CREATE TABLE origin.certificate (
    id               uuid PRIMARY KEY,
    number           text NOT NULL UNIQUE,
    certificate_type text NOT NULL,
    exporter         text NOT NULL,
    applicant        text NOT NULL,
    client           text NOT NULL,
    reference        text,
    invoice_no       text,
    destination      text,
    revision         integer NOT NULL,
    status           text NOT NULL,
    sequence         integer NOT NULL DEFAULT 0,
    content_sha256   bytea NOT NULL,
    raw_sha256       bytea NOT NULL,
    media_type       text NOT NULL,
    signed_on        text,
    state            jsonb,
    accepted_at      timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);
CREATE INDEX certificate_applicant ON origin.certificate (applicant, id);
CREATE INDEX certificate_exporter ON origin.certificate (exporter, id) WHERE exporter <> applicant;

-- Transport-level memory: the same client and key is the same submission for ever.
CREATE TABLE origin.intake (
    client         text NOT NULL,
    key            text NOT NULL,
    channel        text NOT NULL,
    raw_sha256     bytea NOT NULL,
    certificate_id uuid NOT NULL,
    answer         bytea NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (client, key)
);

-- Number counters; the row is locked until the transaction that uses the number commits: no gap, no double.
CREATE TABLE origin.number_series (
    organisation     text NOT NULL,
    certificate_type text NOT NULL,
    year             text NOT NULL,
    prefix           text NOT NULL,
    last             integer NOT NULL,
    PRIMARY KEY (organisation, certificate_type, year, prefix)
);

-- A message id is handled once.
CREATE TABLE origin.inbox (
    message_id     uuid PRIMARY KEY,
    certificate_id uuid,
    at             timestamptz NOT NULL DEFAULT now()
);

-- What happened, gapless from 1 per certificate.
CREATE TABLE origin.event (
    certificate_id uuid NOT NULL REFERENCES origin.certificate,
    sequence       integer NOT NULL,
    id             uuid NOT NULL,
    kind           text NOT NULL,
    data           jsonb NOT NULL,
    message_id     uuid NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (certificate_id, sequence)
);

-- Everything customs sent, with its bytes; certificate_id NULL: no such certificate here, kept aside.
CREATE TABLE origin.receipt (
    message_id     uuid PRIMARY KEY,
    certificate_id uuid REFERENCES origin.certificate,
    number         text NOT NULL,
    kind           text NOT NULL,
    raw_sha256     bytea NOT NULL REFERENCES origin.blob,
    fields         jsonb NOT NULL,
    at             timestamptz NOT NULL
);
CREATE INDEX receipt_certificate ON origin.receipt (certificate_id, at);
CREATE INDEX receipt_stray ON origin.receipt (number) WHERE certificate_id IS NULL;

-- Due dates.
CREATE TABLE origin.timer (
    certificate_id uuid NOT NULL REFERENCES origin.certificate,
    about          text NOT NULL,
    revision       integer NOT NULL,
    due            timestamptz NOT NULL,
    PRIMARY KEY (certificate_id, about, revision)
);
CREATE INDEX timer_due ON origin.timer (due);

-- Messages that wait for a person. The first of a certificate broke our code; those behind it keep their order.
CREATE TABLE origin.parked (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id     uuid NOT NULL UNIQUE,
    certificate_id uuid,
    topic          text NOT NULL,
    key            text NOT NULL,
    headers        jsonb NOT NULL,
    body           bytea NOT NULL,
    reason         text NOT NULL,
    at             timestamptz NOT NULL
);
CREATE INDEX parked_certificate ON origin.parked (certificate_id, id);

-- One signed file a job: signing again would make a second original.
CREATE TABLE origin.rendering (
    job            uuid PRIMARY KEY,
    certificate_id uuid NOT NULL,
    part           text NOT NULL,
    file_sha256    bytea NOT NULL REFERENCES origin.blob,
    at             timestamptz NOT NULL DEFAULT now()
);

-- A print claim is one row and is never transferred.
CREATE TABLE origin.print_claim (
    job            uuid PRIMARY KEY,
    certificate_id uuid NOT NULL,
    part           text NOT NULL,
    worker         text NOT NULL,
    state          text NOT NULL CHECK (state IN ('claimed', 'printed', 'refused', 'in_doubt')),
    claimed_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz
);

-- Seal and handwriting images (印章, 签名) and signing keys, encrypted with the master key. Stopped, never deleted.
CREATE TABLE origin.mark (
    id         uuid PRIMARY KEY,
    enterprise text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('seal', 'signature', 'key')),
    name       text NOT NULL,
    facts      jsonb NOT NULL,
    sealed     bytea NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
);
-- One default of each kind at a time (默认印章, 默认签名).
CREATE UNIQUE INDEX mark_default ON origin.mark (enterprise, kind) WHERE stopped_at IS NULL;
