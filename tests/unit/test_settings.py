"""Settings: defaults that work, and an example file that tells the truth."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.settings import Settings

EXAMPLE = Path(__file__).parent.parent.parent / ".env.example"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    import os

    for name in [n for n in os.environ if n.startswith("WORDUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def shown(value: object) -> str:
    text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if text is None:
        return ""
    return str(text).lower() if isinstance(text, bool) else f"{text:g}" if isinstance(text, float) else str(text)


def test_the_example_file_names_every_setting_with_its_default():
    written = dict(re.findall(r"^#?WORDUP_([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.M))
    defaults = {name.upper(): shown(value) for name, value in Settings().model_dump().items()}
    assert written == defaults


def test_an_empty_environment_is_a_studio_on_loopback_with_sqlite_in_data():
    settings = Settings()
    assert settings.is_loopback and settings.web
    assert settings.url == "sqlite:///data/wordup.db"


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.0.0.9", True), ("0.0.0.0", False), ("pictures.example.org", False)]
)
def test_only_loopback_needs_no_sign_in(host, loopback):
    assert Settings(web_host=host).is_loopback is loopback


def test_the_environment_beats_the_defaults(monkeypatch):
    monkeypatch.setenv("WORDUP_WEB_PORT", "9000")
    monkeypatch.setenv("WORDUP_DATABASE_URL", "postgresql://u:hunter22@db/w")
    settings = Settings()
    assert settings.web_port == 9000
    assert settings.url == "postgresql://u:hunter22@db/w"
    assert "hunter22" not in repr(settings)


@pytest.mark.parametrize("wrong", [{"web_port": 70000}, {"public_url": "pictures"}, {"credits_cap": 0}, {"device": "toaster"}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_lists_of_names_must_be_there_and_be_text(tmp_path):
    names, other = tmp_path / "artists.txt", tmp_path / "picture.png"
    names.write_text("Ada Example\n")
    other.write_bytes(b"\x89PNG\xff\xfe")
    assert Settings(gate_artists_file=names).gate_artists_file == names
    for wrong in (other, tmp_path / "none.txt"):
        with pytest.raises(ValidationError, match="cannot be read as text"):
            Settings(gate_people_file=wrong)


def test_a_certificate_and_its_key_belong_together(tmp_path):
    assert Settings(signing_certificate=tmp_path / "leaf.pem", signing_key=tmp_path / "key.pem").signing_key
    for alone in ({"signing_key": tmp_path / "key.pem"}, {"signing_certificate": tmp_path / "leaf.pem"}):
        with pytest.raises(ValidationError, match="belong together"):
            Settings(**alone)
