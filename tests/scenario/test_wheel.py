"""A wheel built from the tree carries all it needs: it is installed into an empty environment and run from an empty directory."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

from tests.scenario.program import PATIENCE, ROOT


@pytest.fixture(scope="module")
def wordup(tmp_path_factory):
    """The installed command. Its environment holds the wheel alone; libraries come from this one (they are large, and pinned by the lock anyway)."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True, timeout=PATIENCE
    )
    (wheel,) = folder.glob("*.whl")
    home = folder / "env"
    venv.create(home, with_pip=False, symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install", "--no-deps", "--no-index", "--quiet", str(wheel)],
        check=True,
        timeout=PATIENCE,
    )
    (own,) = (home / "lib").glob("python3*/site-packages")
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = folder / "empty"
    empty.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WORDUP_", "PYTHONPATH"))}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(home / "bin/wordup"), *arguments], cwd=empty, env=clean, capture_output=True, text=True, timeout=PATIENCE)

    return call


def test_it_draws_from_an_empty_directory(wordup, tmp_path):
    out = tmp_path / "apple.png"
    done = wordup("imagine", "a red apple --steps 2", "-o", str(out))
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_it_carries_migrations_weights_messages_and_pages(wordup):
    done = wordup("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert wordup("migrate").stdout.startswith("applied"), "the wheel has no migrations"
    assert "up to date" in wordup("migrate").stdout


def test_nothing_of_it_is_read_from_the_checkout(wordup, tmp_path):
    probe = "import bot, engine.api, json; print(json.dumps([bot.__file__, engine.api.__file__]))"
    where = Path(wordup("version").args[0]).parent / "python"
    found = json.loads(subprocess.run([str(where), "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert all(str(ROOT) not in Path(path).parts and not path.startswith(str(ROOT / "bot")) and not path.startswith(str(ROOT / "engine")) for path in found)
