"""Block Kit → a page that looks near enough to Slack's own: for the pictures in docs. Used by `benchmarks.screenshots`.

It renders what the bot really published (https://docs.slack.dev/reference/block-kit/blocks); a kind of block it does not know is an error, not a gap in the
picture.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]
#: An uploaded file's id → an address a browser can show.
Address = Callable[[str], str]

_BOLD = re.compile(r"(?<!\w)\*([^*\n]+)\*(?!\w)")
_CODE = re.compile(r"```(.+?)```", re.S)
STYLE = """
*, ::before, ::after { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.46668 "Lato", "Noto Sans", "DejaVu Sans Condensed", "DejaVu Sans", sans-serif; }
.app { display: flex; align-items: center; gap: 10px; padding: 12px 20px 0; font-size: 18px; font-weight: 900; }
.app i { display: grid; place-items: center; width: 30px; height: 30px; border-radius: 6px; font-style: normal; font-size: 17px; }
.app i { background: #c93a22; color: #fff; }
.tabs { display: flex; gap: 18px; padding: 8px 20px 0; border-bottom: 1px solid #ddd; font-size: 13px; color: #616061; }
.tabs span { padding: 6px 0 8px; } .tabs :first-child { color: #1d1c1d; font-weight: 700; border-bottom: 2px solid #611f69; }
main { max-width: 760px; margin: 0 auto; padding: 12px 20px 24px; display: grid; gap: 8px; }
h1 { margin: 8px 0 4px; font-size: 22px; line-height: 1.3; } hr { width: 100%; border: 0; border-top: 1px solid #ddd; margin: 8px 0; }
.section { display: flex; justify-content: space-between; gap: 16px; align-items: flex-start; overflow-wrap: anywhere; }
.text { white-space: pre-line; } .context { color: #616061; font-size: 12px; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; flex: 1; }
.actions { display: flex; flex-wrap: wrap; gap: 8px; }
.control { border: 1px solid #bbb; border-radius: 8px; background: #fff; padding: 4px 12px; font-size: 13px; line-height: 20px; }
.control { font-weight: 700; white-space: nowrap; }
.primary { background: #007a5a; border-color: #007a5a; color: #fff; } .danger { background: #fff; border-color: #e01e5a; color: #e01e5a; }
.control.menu { font-weight: 400; color: #616061; min-width: 200px; display: inline-flex; justify-content: space-between; gap: 12px; }
.menu::after { content: "⌄"; }
img { display: block; max-width: 360px; width: 100%; border-radius: 8px; }
pre { margin: 0; padding: 8px; border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8; white-space: pre-wrap; }
"""


def page(title: str, blocks: Sequence[Block], address: Address) -> str:
    """A whole HTML document: the App Home of an app of that name."""
    name = html.escape(title)
    tabs = "".join(f"<span>{tab}</span>" for tab in ("Home", "Messages", "About"))
    inside = "\n".join(block(each, address) for each in blocks)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
    return f'{head}<div class="app"><i>{name[:1]}</i>{name}</div><div class="tabs">{tabs}</div><main>{inside}</main></html>'


def block(each: Block, address: Address) -> str:
    """One block's HTML. Raises ValueError for a kind that the bot did not use when this was written."""
    match each["type"]:
        case "header":
            return f"<h1>{_text(each['text'])}</h1>"
        case "divider":
            return "<hr>"
        case "section":
            text = f'<div class="text">{_text(each["text"])}</div>' if "text" in each else ""
            fields = "".join(f'<div class="text">{_text(field)}</div>' for field in each.get("fields", ()))
            beside = _element(each["accessory"], address) if "accessory" in each else ""
            return f'<div class="section">{text}{f"""<div class="fields">{fields}</div>""" if fields else ""}{beside}</div>'
        case "context":
            return f'<div class="context">{" ".join(_element(part, address) for part in each["elements"])}</div>'
        case "actions":
            return f'<div class="actions">{"".join(_element(part, address) for part in each["elements"])}</div>'
        case "image":
            return _image(each, address)
    raise ValueError(f"no such block: {each['type']}")


def _element(part: Block, address: Address) -> str:
    match part["type"]:
        case "button":
            return f'<span class="control {html.escape(part.get("style", ""))}">{_text(part["text"])}</span>'
        case "static_select":
            return f'<span class="control menu">{_text(part.get("initial_option", {}).get("text") or part["placeholder"])}</span>'
        case "image":
            return _image(part, address)
        case "plain_text" | "mrkdwn":
            return f"<span>{_text(part)}</span>"
    raise ValueError(f"no such element: {part['type']}")


def _image(part: Block, address: Address) -> str:
    source = part["image_url"] if "image_url" in part else address(part["slack_file"]["id"])
    return f'<img src="{html.escape(source)}" alt="{html.escape(part["alt_text"])}">'


def _text(part: Block) -> str:
    """Slack's texts come with three characters escaped already (https://docs.slack.dev/messaging/formatting-message-text#escaping)."""
    text = html.escape(html.unescape(part["text"]))
    if part["type"] == "plain_text":
        return text
    return _BOLD.sub(r"<b>\1</b>", _CODE.sub(r"<pre>\1</pre>", text))
