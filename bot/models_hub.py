"""The Hugging Face hub, as `wordup models pull` needs it: look at a repository, fetch some of its files, and say in one sentence what went wrong.

Tokens (`HF_TOKEN`), proxies and another endpoint (`HF_ENDPOINT`) are read by huggingface_hub itself, from the environment it documents.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
from huggingface_hub import errors


class PullError(Exception):
    """A model could not be fetched; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A repository at one commit."""

    hub: str  #: owner/name
    commit: str
    gated: bool  #: its terms must be accepted on its page first
    licence: str
    sizes: Mapping[str, int]  #: bytes of its files, by name; names that lead out of a folder or are hidden are left out
    digests: Mapping[str, str]  #: sha256 of those it knows it of (the large ones)


class Hub:
    """huggingface_hub, behind three verbs. Blocking."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._api = huggingface_hub.HfApi(endpoint=endpoint)

    def look(self, hub: str, revision: str | None = None) -> Offer:
        """What the repository holds, at this revision (a branch, a tag or a commit; None: its main branch). Raises PullError."""
        with self._told(hub, revision):
            info = self._api.model_info(hub, revision=revision, files_metadata=True)
        data: Any = info.card_data or {}
        files = [each for each in info.siblings or () if is_plain(each.rfilename)]
        return Offer(
            hub=hub,
            commit=info.sha or "",
            gated=bool(info.gated),
            licence=str(data.get("license_name") or data.get("license") or ""),
            sizes={each.rfilename: each.size or 0 for each in files},
            digests={each.rfilename: each.lfs.sha256 for each in files if each.lfs},
        )

    def fetch(self, offer: Offer, names: Sequence[str], folder: Path) -> None:
        """Put these files into the folder, going on where an earlier attempt ended. Raises PullError."""
        with self._told(offer.hub, offer.commit):
            huggingface_hub.snapshot_download(
                offer.hub, revision=offer.commit, local_dir=folder, allow_patterns=[glob.escape(name) for name in names], endpoint=self._api.endpoint
            )
        for name in names:
            if not (folder / name).is_file() or (folder / name).stat().st_size != offer.sizes[name]:
                raise PullError(f"{offer.hub}: {name} did not arrive whole; the same command goes on where it ended")

    @contextmanager
    def _told(self, hub: str, revision: str | None) -> Iterator[None]:
        page = f"{self._api.endpoint}/{hub}"
        try:
            yield
        except errors.GatedRepoError as error:
            raise PullError(f"{hub} wants its terms accepted first: open {page}, accept them, and set HF_TOKEN to a token of that account.") from error
        except errors.RevisionNotFoundError as error:
            raise PullError(f"{hub} has no revision {revision}.") from error
        except errors.RepositoryNotFoundError as error:
            raise PullError(f"{page} is not there, or it is private: then set HF_TOKEN.") from error
        except errors.HFValidationError as error:
            raise PullError(f"{hub} is no hub id such as owner/name.") from error
        except errors.HfHubHTTPError as error:
            raise PullError(f"{page}: {error}") from error
        except Exception as error:
            if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError) or type(error).__module__.startswith("httpx"):
                raise PullError(
                    f"{self._api.endpoint} cannot be reached ({type(error).__name__}). On a machine without a network, copy the model's folder here and name "
                    "it by `where` in models.toml."
                ) from error
            raise


def is_plain(name: str) -> bool:
    """Whether a name of the hub's is a visible file inside a folder."""
    parts = PurePosixPath(name).parts
    return bool(parts) and "\\" not in name and not any(part.startswith((".", "/")) for part in parts)
