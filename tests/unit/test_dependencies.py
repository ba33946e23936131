"""Nothing is installed beside the program under a licence that does not fit, and what is written about it is true."""

from __future__ import annotations

import pytest

from tests.dependencies import HEAD, PAGE, ROOT, installed, is_fit, licence, needed, pinned, problems, rows

LOCK = "# a remark\none==1.0 \\\n    --hash=sha256:00\ntwo==2.0 ; python_version < '3'\ntwo==2.1 ; python_version >= '3'\n"
TABLE = HEAD + "| one | MIT | us |\n| two | BSD-3-Clause | one |\n| torch | BSD-3-Clause | us |\n"


def test_the_page_says_what_is_installed():
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert problems(PAGE.read_text("utf-8"), lock, installed(pinned(lock))) == []
    assert len(rows(PAGE.read_text("utf-8"))) > 60


def test_a_lock_is_read_by_name():
    assert pinned(LOCK) == ("one", "two")


def test_a_good_page_has_no_problems():
    assert problems(TABLE, LOCK, {"one": "MIT"}) == []


@pytest.mark.parametrize(
    ("page", "lock", "there", "problem"),
    [
        (TABLE, LOCK + "three==3\n", {}, "three is not on the page: make licences"),
        (TABLE + "| four | MIT | us |\n", LOCK, {}, "four is on the page and not in the lock: make licences"),
        (TABLE.replace("MIT", "AGPL-3.0-only"), LOCK, {}, "one: the licence 'AGPL-3.0-only' does not fit"),
        (TABLE, LOCK, {"one": "GPL-3.0-only"}, "one: the page says MIT, the package says GPL-3.0-only"),
    ],
)
def test_what_is_wrong_is_said(page: str, lock: str, there: dict[str, str], problem: str):
    assert problems(page, lock, there) == [problem]


@pytest.mark.parametrize("expression", ["MIT", "Apache-2.0 OR GPL-3.0-only", "MIT AND PSF-2.0", "(MIT OR Apache-2.0)", "Apache-2.0 WITH LLVM-exception"])
def test_licences_that_fit(expression: str):
    assert is_fit(expression)


@pytest.mark.parametrize("expression", ["", "GPL-3.0-only", "MIT AND AGPL-3.0-only", "LicenseRef-Proprietary", "CC-BY-NC-4.0", "Other/Proprietary License"])
def test_licences_that_do_not(expression: str):
    assert not is_fit(expression)


@pytest.mark.parametrize(
    ("about", "classifiers", "said"),
    [
        ({"License-Expression": "MIT"}, ["License :: OSI Approved :: BSD License"], "MIT"),
        ({"License": "whatever"}, ["License :: OSI Approved :: MIT License"], "MIT"),
        ({"License": "BSD-3-Clause"}, ["License :: OSI Approved :: BSD License"], "BSD-3-Clause"),
        ({"License": "Apache 2.0"}, [], "Apache-2.0"),
        ({"License": None}, ["License :: OSI Approved"], ""),
        ({}, ["License :: OSI Approved :: Apache Software License", "License :: OSI Approved :: BSD License"], "Apache-2.0 OR BSD"),
    ],
)
def test_what_a_package_says(about: dict[str, str], classifiers: list[str], said: str):
    assert licence(about, classifiers) == said


def test_a_bill_of_materials_keeps_what_is_needed_and_no_more():
    bom = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"name": name, "bom-ref": f"{name}@1"} for name in ("A_b", "below", "tool", "below-tool")],
        "dependencies": [
            {"ref": "root", "dependsOn": ["A_b@1", "tool@1"]},
            {"ref": "A_b@1", "dependsOn": ["below@1"]},
            {"ref": "below@1"},
            {"ref": "tool@1", "dependsOn": ["below-tool@1"]},
            {"ref": "below-tool@1"},
        ],
    }
    kept = needed(bom, ("a-b", "below"))
    assert kept["bomFormat"] == "CycloneDX"
    assert [each["name"] for each in kept["components"]] == ["A_b", "below"]
    assert kept["dependencies"] == [{"ref": "root", "dependsOn": ["A_b@1"]}, {"ref": "A_b@1", "dependsOn": ["below@1"]}, {"ref": "below@1"}]
