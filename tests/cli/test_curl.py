"""What is shown for curl shows no key, neither on paper nor to other users while it runs."""

import subprocess

import pytest

from beamstream.cli.curl import run_lines, search_line

URL = "http://127.0.0.1:9"
_CURL = r"""#!/bin/bash
tr '\0' '\n' < /proc/$$/cmdline > arguments
for argument; do [[ $argument = @* ]] && cat "${argument#@}" > headers; done; true
"""


@pytest.mark.parametrize(
    "line_of",
    [
        lambda key: search_line(URL, key),
        lambda key: run_lines(URL, key, "0123", "primary/cam_image")["frame as PNG"],
    ],
)
def test_the_key_goes_to_curl_through_a_pipe_and_stands_in_no_argument(tmp_path, line_of):
    key = tmp_path / "a key's file"
    key.write_text("secretkey0123\n")
    curl = tmp_path / "curl"
    curl.write_text(_CURL)
    curl.chmod(0o755)
    line = line_of(key)
    assert line.startswith("curl -sg ")
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", line], cwd=tmp_path, env=path, check=True, timeout=30)
    assert (tmp_path / "headers").read_text() == "Authorization: Apikey secretkey0123\n"
    arguments = (tmp_path / "arguments").read_text()
    assert URL in arguments
    assert "secretkey0123" not in arguments + line
