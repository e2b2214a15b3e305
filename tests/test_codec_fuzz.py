"""Random and damaged payloads of every codec: each is refused or decodes to its size, and no decoder crashes."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from beamstream import codecs

NUMBER, SEED = 10_000, 20_261_130


@pytest.mark.parametrize("codec", sorted(codecs.NAMES))
def test_ten_thousand_payloads_of_a_codec_crash_no_decoder_and_show_no_memory(codec, tmp_path):
    """Two processes whose free memory is filled with other bytes come to the same pixels: none is left as it was."""
    results = []
    for fill in ("85", "170"):
        note, result = tmp_path / fill, tmp_path / f"{fill}.json"
        note.write_bytes(bytes(8))
        command = [sys.executable, str(Path(__file__).with_name("codec_fuzzing.py")), codec, str(NUMBER), str(SEED)]
        done = subprocess.run(
            [*command, str(note), str(result)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=os.environ | {"MALLOC_PERTURB_": fill, "PYTHONFAULTHANDLER": "1"},
        )
        (case,) = struct.unpack("<q", note.read_bytes())
        assert done.returncode == 0, f"{codec}, seed {SEED}, case {case}: exit {done.returncode}: {done.stderr[-2000:]}"
        results.append(json.loads(result.read_text()))
    assert results[0] == results[1]
    assert results[0]["decoded"] >= NUMBER // 10
    assert results[0]["refused"] >= NUMBER // 3
