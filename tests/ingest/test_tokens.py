"""Addresses for uploads: for one chunk, for an hour, made here."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.ingest.refusal import Refusal
from beamstream.ingest.tokens import LIFETIME, Chunk, Tokens
from beamstream.network.keys import Keys
from beamstream.network.rules import UPLOAD

CHUNK = Chunk("5e8c", 3, 10, 12, 20, 10, 5.0, 1000, 3000, None, 0.5)
TOKEN = Tokens("key").seal(CHUNK, now=0.0)


def test_a_token_says_what_it_is_for_as_long_as_it_holds():
    assert Tokens("key").open(TOKEN, now=LIFETIME - 1) == CHUNK
    with pytest.raises(Refusal, match="expired"):
        Tokens("key").open(TOKEN, now=LIFETIME + 1)
    with pytest.raises(Refusal, match="not given out here"):
        Tokens("another").open(TOKEN, now=0.0)


def test_what_it_says_cannot_be_changed():
    said, _, signature = TOKEN.partition(".")
    about = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps({**about, "number": 4}).encode()).decode().rstrip("=")
    with pytest.raises(Refusal, match="not given out here"):
        Tokens("key").open(f"{changed}.{signature}", now=0.0)


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,50}", fullmatch=True)))
@settings(max_examples=300, deadline=None)
def test_nothing_that_was_made_up_is_a_token(text):
    with pytest.raises(Refusal) as refused:
        Tokens("key").open(text, now=0.0)
    assert refused.value.status == 403


def test_a_token_ends_with_the_key_that_it_was_given_out_for(tmp_path):
    keys = Keys(tmp_path, {"main": (UPLOAD,)})
    tokens, key = Tokens("main", keys), keys.create([UPLOAD])
    token, of_the_main_key = tokens.seal(CHUNK, given=key), tokens.seal(CHUNK, given="main")
    assert tokens.open(token) == CHUNK
    keys.revoke(key[:8])
    with pytest.raises(Refusal, match="is over"):
        tokens.open(token)
    assert tokens.open(of_the_main_key) == CHUNK
