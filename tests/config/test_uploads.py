"""What beamstream.toml may say about uploads."""

import pytest

from beamstream.config import load
from beamstream.errors import ConfigurationError


def read(tmp_path, text):
    file = tmp_path / "beamstream.toml"
    file.write_text(text)
    return load(file)


def test_uploads_are_off_until_a_section_switches_them_on(tmp_path):
    assert read(tmp_path, "").callbacks.rheed_uploader is None
    asked = read(tmp_path, '[callbacks.rheed_uploader]\nkey_file = "key"\nrule = "shift:4"\ntags = ["a"]\n')
    uploader = asked.callbacks.rheed_uploader
    assert uploader is not None
    assert (uploader.key_file, uploader.rule, uploader.tags) == (tmp_path / "key", "shift:4", ("a",))
    assert (uploader.endpoint, uploader.chunk_seconds) == ("", 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[callbacks.rheed_uploader]\nchunk_seconds = 1.5", "the service wants 2 s or more"),
        ('[callbacks.rheed_uploader]\nrule = "shift"', "8 bit: rule 'shift'"),
        ('[callbacks.rheed_uploader]\nendpoint = "there"', "write http://host:port"),
        ('[callbacks.rheed_uploader]\nendpont = "http://x"', "did you mean endpoint?"),
        ('[callbacks.rheed_uploader]\napi_key = "123"', "is a secret"),
        ("[callbacks.readings_uploader]", "data_keys is missing"),
        ("[callbacks.readings_uploader]\ndata_keys = []", "data_keys"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(tmp_path, text, words):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "beamstream.toml:" in str(caught.value)


def test_where_the_own_ingest_will_be_is_known_beforehand(tmp_path):
    assert read(tmp_path, "").ingest.url == ""
    assert read(tmp_path, "[ingest]\nenabled = true").ingest.url == "http://127.0.0.1:8711"
    assert read(tmp_path, "[ingest]\nenabled = true\nport = 0").ingest.url == ""
