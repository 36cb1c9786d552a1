"""The words of the prompts, for searching: a table beside the generations that triggers keep.

Beside, because a row of Generation changes at each look and its prompt never does. PostgreSQL keeps a tsvector, in which
the team stands as a word, too; SQLite an FTS5 index of the prompts themselves.

SQLite drops a table's triggers when a migration makes the table anew (most changes of a column do). A migration that does
that to Generation ends with `migrations.RunPython(_prompt_words.keep, …noop)`; tests/test_house.py tells when one forgot.
"""

from typing import Any

# What no word contains, in ASCII and as typesetters have it. generations/search.py splits what people type in the same way.
BETWEEN = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”‘’„‚«»–—…·•、。，！？：；（）「」"
TABLE = "generations_promptwords"

POSTGRES = [
    f"""
    CREATE OR REPLACE FUNCTION generations_prompt_words(team bigint, prompt text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT to_tsvector('simple'::regconfig, translate(prompt, $between${BETWEEN}$between$, repeat(' ', {len(BETWEEN)})))
            || array_to_tsvector(ARRAY['/' || team::text])
    $$
    """,
    f"CREATE TABLE IF NOT EXISTS {TABLE} (generation_id bigint PRIMARY KEY, words tsvector NOT NULL)",
    f"""
    CREATE OR REPLACE FUNCTION {TABLE}_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            TRUNCATE {TABLE};
        ELSIF TG_OP = 'DELETE' THEN
            DELETE FROM {TABLE} WHERE generation_id = OLD.id;
        ELSE
            INSERT INTO {TABLE} VALUES (NEW.id, generations_prompt_words(NEW.team_id, NEW.prompt))
            ON CONFLICT (generation_id) DO UPDATE SET words = EXCLUDED.words;
        END IF;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE OR REPLACE TRIGGER {TABLE}_rows AFTER INSERT OR DELETE OR UPDATE OF prompt, team_id ON generations_generation
    FOR EACH ROW EXECUTE FUNCTION {TABLE}_keep()
    """,
    f"""
    CREATE OR REPLACE TRIGGER {TABLE}_all AFTER TRUNCATE ON generations_generation
    FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_keep()
    """,
    f"""
    INSERT INTO {TABLE} SELECT id, generations_prompt_words(team_id, prompt) FROM generations_generation
    ON CONFLICT (generation_id) DO NOTHING
    """,
    f"CREATE INDEX IF NOT EXISTS {TABLE}_words ON {TABLE} USING gin (words)",
]
FORGET = f"INSERT INTO {TABLE} ({TABLE}, rowid, prompt) VALUES ('delete', old.id, old.prompt)"
LEARN = f"INSERT INTO {TABLE} (rowid, prompt) VALUES (new.id, new.prompt)"
SQLITE = [
    f"""
    CREATE VIRTUAL TABLE IF NOT EXISTS {TABLE} USING fts5(
        prompt, content='generations_generation', content_rowid='id', tokenize='unicode61 remove_diacritics 0', prefix='2 3')
    """,
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_added AFTER INSERT ON generations_generation BEGIN {LEARN}; END",
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_removed AFTER DELETE ON generations_generation BEGIN {FORGET}; END",
    f"""
    CREATE TRIGGER IF NOT EXISTS {TABLE}_changed AFTER UPDATE OF prompt ON generations_generation
    BEGIN {FORGET}; {LEARN}; END
    """,
    f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')",
]


def keep(apps: Any, schema_editor: Any) -> None:
    """Makes what is missing and reads all prompts."""
    with schema_editor.connection.cursor() as cursor:
        for statement in {"postgresql": POSTGRES, "sqlite": SQLITE}[schema_editor.connection.vendor]:
            cursor.execute(statement)


def forget(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        if schema_editor.connection.vendor == "postgresql":
            cursor.execute(f"DROP FUNCTION {TABLE}_keep() CASCADE")
            cursor.execute("DROP FUNCTION generations_prompt_words(bigint, text)")
        else:
            for name in ("added", "removed", "changed"):
                cursor.execute(f"DROP TRIGGER {TABLE}_{name}")
        cursor.execute(f"DROP TABLE {TABLE}")
