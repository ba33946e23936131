"""`python -m tests.check_secrets`: no token, key or password of anybody's lies in the tree (part of `make lint`).

detect-secrets' detectors of particular kinds of secrets read every file that git tracks or would; those that guess by entropy or by a variable's name are
left out, because digests and test data look the same to them. What tests plant on purpose is told apart by being listed here, by file and kind.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parent.parent
DETECTORS = (
    "AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector CloudantDetector DiscordBotTokenDetector GitHubTokenDetector GitLabTokenDetector "
    "IbmCloudIamDetector IbmCosHmacDetector JwtTokenDetector MailchimpDetector NpmDetector OpenAIDetector PrivateKeyDetector PypiTokenDetector "
    "SendGridDetector SlackDetector SoftlayerDetector SquareOAuthDetector StripeDetector TelegramBotTokenDetector TwilioKeyDetector"
)
#: (file, kind): made up, and meant to be there.
MADE_UP = frozenset({
    (".env.example", "Basic Auth Credentials"),
    ("tests/contract/test_store_owed.py", "Basic Auth Credentials"),
    ("tests/fakes/discord/stage.py", "Discord Bot Token"),
    ("tests/unit/test_fetching.py", "Basic Auth Credentials"),
    ("tests/unit/test_logs.py", "Basic Auth Credentials"),
    ("tests/unit/test_logs.py", "Slack Token"),
    ("tests/unit/test_settings.py", "Basic Auth Credentials"),
    ("tests/unit/test_slack_files.py", "Basic Auth Credentials"),
})  # fmt: skip
NOT_TEXT = frozenset({".png", ".jpg", ".webp", ".gif", ".safetensors", ".ico", ".woff2", ".lock"})


def found(paths: Iterable[Path]) -> list[tuple[Path, int, str]]:
    """(file, line, kind) of what looks like a secret, in order."""
    with transient_settings({"plugins_used": [{"name": each} for each in DETECTORS.split()]}):
        return sorted({(path, secret.line_number, secret.type) for path in paths for secret in scan_file(str(path))})


def tracked() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file() and path.suffix not in NOT_TEXT]


if __name__ == "__main__":
    there = [(path.relative_to(ROOT).as_posix(), line, kind) for path, line, kind in found(tracked())]
    wrong = [f"{name}:{line}: {kind}" for name, line, kind in there if (name, kind) not in MADE_UP]
    print(*wrong or ["no secrets found"], sep="\n")
    sys.exit(bool(wrong))
