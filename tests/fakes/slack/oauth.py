"""How a workspace lets an app in: the page of Slack's that asks a member, and what the app gets for the code."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientSession

from tests.fakes.slack.world import Refused, World

if TYPE_CHECKING:
    from tests.fakes.slack.model import User


class Installing:
    """Mixed into the wire; `client_id` and `client_secret` are the app's."""

    def __init__(self) -> None:
        self.client_id, self.client_secret = "123.456", secrets.token_hex(16)
        #: Codes that were handed out, and to which workspace each lets the app in.
        self.codes: dict[str, World] = {}

    async def install(
        self, install_url: str, into: World, by: User, *, tampered: str = "", other_browser: bool = False, refused: bool = False
    ) -> tuple[int, str]:
        """What a browser does from the app's install address on, until the app's last page: its status and its text.

        `tampered` is the state of somebody else's making; `other_browser` has not the first one's cookies; `refused`: the member said no.
        """
        async with ClientSession() as session, session.get(install_url, allow_redirects=False) as answer:
            assert answer.status == 302, answer.status
            asked = urlsplit(answer.headers["Location"])
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        assert asked.path == "/oauth/v2/authorize", asked.path
        assert query["client_id"] == self.client_id
        into.scopes = set(query["scope"].split(","))
        code = secrets.token_hex(12)
        self.codes[code] = into
        back = install_url.rpartition("/")[0] + "/oauth_redirect"
        said = {"error": "access_denied"} if refused else {"code": code}
        headers = {} if other_browser else {"Cookie": cookie}
        async with ClientSession() as session, session.get(back, params={**said, "state": tampered or query["state"]}, headers=headers) as answer:
            return answer.status, await answer.text()

    def access(self, worlds: Sequence[World], args: dict[str, Any]) -> dict[str, Any]:
        """`oauth.v2.access`: each code is good once, and for the app that can prove itself."""
        if (args.get("client_id"), args.get("client_secret")) != (self.client_id, self.client_secret):
            raise Refused("bad_client_secret")
        into = self.codes.pop(str(args.get("code")), None)
        if into is None or into not in worlds:
            raise Refused("invalid_code")
        into.bot_token = f"xoxb-{secrets.randbelow(10**12):012}-{secrets.token_hex(12)}"
        return {
            "app_id": into.app_id,
            "authed_user": {"id": into.ada.id},
            "scope": ",".join(sorted(into.scopes)),
            "token_type": "bot",
            "access_token": into.bot_token,
            "bot_user_id": into.bot_user_id,
            "team": {"id": into.team_id, "name": f"Team {into.team_id}"},
            "enterprise": None,
            "is_enterprise_install": False,
        }
