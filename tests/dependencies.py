"""What the program stands on, and under which licences. Called by `make licences`, `make lint` (check) and `make sbom`.

`python -m tests.dependencies write` writes docs/dependencies.md from what is installed; `check` says what does not fit and is wrong with that page;
`sbom FILE` writes a bill of materials (CycloneDX, JSON) of what is installed and needed to run the program, without what only developers need.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "dependencies.md"

#: Licences under which a library may be installed beside ours, as SPDX writes them.
FIT = frozenset({
    "MIT", "MIT-0", "MIT-CMU", "0BSD", "BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "LLVM-exception", "ISC", "HPND", "Zlib", "BSL-1.0", "MPL-2.0",
    "PSF-2.0", "Python-2.0", "CC0-1.0", "Unlicense", "CNRI-Python",
})  # fmt: skip
#: What packages write that is no SPDX expression. "BSD" stands where a package does not say which.
SPOKEN = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD 3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "PSFL": "PSF-2.0",
}
#: Of packages that only other systems need, and so are not installed where this page is written.
ELSEWHERE = {"colorama": "BSD-3-Clause", "audioop-lts": "PSF-2.0", "pycparser": "BSD-3-Clause", "cffi": "MIT-0"}

HEAD = """# Dependencies and their licences

Written by `make licences` from what `requirements.lock` installs; `make lint` checks it. `make sbom` writes the same as a bill of materials (CycloneDX),
with versions and licences; `make audit` asks whether any of it is known to be vulnerable, and needs the network. Versions and hashes are in the locks.

torch's ordinary build for NVIDIA GPUs brings NVIDIA's CUDA libraries along, under NVIDIA's own terms; the CPU build does not.

| package | licence | asked for by |
|---|---|---|
"""


def pinned(lock: str) -> tuple[str, ...]:
    """The names in a lock file, in order, each once."""
    return tuple(dict.fromkeys(re.findall(r"(?m)^([A-Za-z0-9][\w.\-]*)==", lock)))


def licence(about: Mapping[str, Any], classifiers: Iterable[str] = ()) -> str:
    """What a package says its licence is, in SPDX's words where it can be told; empty where it does not say."""
    said = str(about.get("License-Expression") or "").strip()
    if not said:
        named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ") and each != "License :: OSI Approved"]
        written = str(about.get("License") or "").strip().split("\n")[0]
        said = " OR ".join(SPOKEN.get(each, each) for each in named)
        if said in ("", "BSD") and written and len(written) < 60:
            said = written
    return SPOKEN.get(said, said)


def is_fit(expression: str) -> bool:
    """Whether an expression can be met with the licences that fit: all that are joined by AND, one of those joined by OR."""
    if not expression:
        return False
    alternatives = re.split(r"\s+OR\s+", expression.replace("(", " ").replace(")", " ").strip(), flags=re.IGNORECASE)
    return any(all(each.strip() in FIT for each in re.split(r"\s+(?:AND|WITH)\s+", one.strip(), flags=re.IGNORECASE)) for one in alternatives)


def rows(page: str) -> dict[str, str]:
    """Package → licence, as the page has them."""
    return dict(re.findall(r"(?m)^\| ([\w.\-]+) \| ([^|]+?) \|", page.partition("|---|---|---|")[2]))


def problems(page: str, lock: str, installed: Mapping[str, str]) -> list[str]:
    """What is wrong: packages the page lacks or has too many, licences that do not fit, or that are not what is installed."""
    listed, wanted = rows(page), {*pinned(lock), "torch"}
    found = [f"{each} is not on the page: make licences" for each in sorted(wanted - listed.keys())]
    found += [f"{each} is on the page and not in the lock: make licences" for each in sorted(listed.keys() - wanted)]
    found += [f"{name}: the licence {said!r} does not fit" for name, said in sorted(listed.items()) if not is_fit(said)]
    found += [f"{name}: the page says {listed[name]}, the package says {said}" for name, said in sorted(installed.items()) if listed.get(name, said) != said]
    return found


def needed(bom: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A bill of materials with only the components called `names`, and what torch's GPU builds bring along.

    Not by what depends on what: that counts extras nobody asked for.
    """
    wanted = {_key(each) for each in names}
    kept = {each["bom-ref"] for each in bom.get("components", ()) if _key(each["name"]) in wanted or re.match("(nvidia|cuda|triton)", _key(each["name"]))}
    root = bom.get("metadata", {}).get("component", {}).get("bom-ref")
    return {
        **bom,
        "components": [each for each in bom.get("components", ()) if each["bom-ref"] in kept],
        "dependencies": [
            {**each, **({"dependsOn": [ref for ref in each["dependsOn"] if ref in kept]} if "dependsOn" in each else {})}
            for each in bom.get("dependencies", ())
            if each["ref"] in kept or each["ref"] == root
        ],
    }


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()


def installed(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = licence({each: about.get(each) for each in ("License-Expression", "License")}, about.get_all("Classifier") or ())
    return found


def _asked_for(names: Iterable[str]) -> dict[str, str]:
    """Package → "us", or the packages that need it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ours = {_key(re.split(r"[\[<>=!~; ]", each)[0]) for each in [*project["dependencies"], *project["optional-dependencies"]["postgres"]]}
    by: dict[str, list[str]] = {}
    for name in names:
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for each in requires:
            if "extra ==" not in each:
                by.setdefault(_key(re.split(r"[\[<>=!~;( ]", each)[0]), []).append(name)
    return {name: "us" if _key(name) in ours else ", ".join(sorted(by.get(_key(name), []))[:3]) for name in names}


def write(lock: str) -> None:
    names = sorted({*pinned(lock), "torch"})
    said, asked = {**ELSEWHERE, **installed(names)}, _asked_for(names)
    PAGE.write_text(HEAD + "".join(f"| {name} | {said.get(name) or 'not said'} | {asked[name]} |\n" for name in names), "utf-8")


def sbom(lock: str, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.json")
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--pyproject", "pyproject.toml", "--mc-type", "application"]
        subprocess.run([*command, "--of", "JSON", "-o", str(whole), sys.prefix], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        bom = needed(json.loads(whole.read_text("utf-8")), {*pinned(lock), "torch"})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(bom, indent=2) + "\n", "utf-8")
    print(f"{out}: {len(bom['components'])} components")


def main(what: str, *rest: str) -> int:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    if what == "write":
        write(lock)
    elif what == "sbom":
        sbom(lock, Path(*rest))
    found = problems(PAGE.read_text("utf-8"), lock, installed({*pinned(lock), "torch"})) if what != "sbom" else []
    print(*found or [f"{what}: nothing to complain about"], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
