"""`beamstream key`: a secret on standard output alone, a list without one, an end to it."""

import time

import pytest

from beamstream.network.keys import Keys


@pytest.fixture
def keys(tmp_path) -> Keys:
    return Keys(tmp_path / "archive")


def test_a_key_is_all_that_stands_on_standard_output(beamstream, keys):
    done = beamstream("key", "create", "--scope", "read", "--scope", "upload", "--note", "Ana's [red]notebook[/x]")
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 1)
    assert keys.check(done.out.strip()) == {"read", "upload"}
    listed = beamstream("key", "list")
    assert "Ana's [red]notebook[/x]" in listed.out
    assert done.out.strip()[:8] in listed.out
    assert done.out.strip()[8:] not in listed.out


def test_scripts_get_json_a_key_ends_and_is_revoked(beamstream, keys, wait_for):
    made = beamstream("key", "create", "--scope", "control", "--expires", "2h", "--json").json
    assert keys.check(made["key"]) == {"read", "control"}
    assert made["expires"] == pytest.approx(time.time() + 7200, abs=60)
    (listed,) = beamstream("key", "list", "--json").json
    assert listed.pop("used") is not None
    assert listed == {k: v for k, v in made.items() if k not in ("key", "used")}
    assert beamstream("key", "revoke", made["id"]).out == f"key {made['id']} is revoked\n"
    assert keys.check(made["key"]) is None
    assert beamstream("key", "list", "--json").json == []
    beamstream("key", "revoke", made["id"]).failed_with(f"key '{made['id']}' to be revoked, there is none")


def test_by_default_a_key_ends_in_a_month_and_one_that_never_does_is_asked_for(beamstream, keys):
    beamstream("key", "create", "--scope", "read")
    beamstream("key", "create", "--scope", "read", "--expires", "never")
    month, never = keys.list()
    assert month.expires == pytest.approx(time.time() + 30 * 86400, abs=60)
    assert never.expires is None


@pytest.mark.parametrize("wrong", ["30", "d", "-1d", "0d", "1 d", "soon"])
def test_a_time_that_is_none_is_refused(beamstream, keys, wrong):
    beamstream("key", "create", "--scope", "read", "--expires", wrong).failed_with("30d, or never", status=2)
    assert keys.list() == []


def test_the_archive_can_be_another_one(beamstream, tmp_path):
    text = beamstream("key", "create", "--scope", "read", "--archive", tmp_path / "other").out.strip()
    assert Keys(tmp_path / "other").check(text) == {"read"}
    assert beamstream("key", "list").out == "no key\n"
