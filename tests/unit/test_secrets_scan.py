"""The secrets scan finds what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.check_secrets import found

SAMPLES = {  # put together here, so that this file holds none
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Slack Token": "xox" + "b-123456789012-123456789012-" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "AWS Access Key": "AKI" + "A" + "Q" * 16,
    "GitHub Token": "gh" + "p_" + "a1B2" * 9,
    "Basic Auth Credentials": "https://me:" + "hunter2hunter2" + "@example.org",
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_secret_is_found_where_it_lies(tmp_path: Path, kind: str):
    file = tmp_path / "settings.py"
    file.write_text(f"harmless = 1\nvalue = '{SAMPLES[kind]}'\n", "utf-8")
    assert (file, 2, kind) in found([file])


def test_digests_and_words_are_none(tmp_path: Path):
    file = tmp_path / "page.md"
    file.write_text("sha256:" + "0123456789abcdef" * 4 + "\nWORDUP_DISCORD_TOKEN: ${WORDUP_DISCORD_TOKEN:-}\npassword = 'swordfish'\n", "utf-8")
    assert found([file]) == []
