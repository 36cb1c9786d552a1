"""What the logs must not say."""

import logging
import re

TOKEN = re.compile(r"((?:/|%2F)(?:join|s)(?:/|%2F))[A-Za-z0-9_-]+", re.IGNORECASE)


class HideTokens(logging.Filter):
    """Takes the tokens of links out of paths: who reads the logs must not come in with them."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if TOKEN.search(said):
            record.msg, record.args = TOKEN.sub(r"\1…", said), ()
        return True
