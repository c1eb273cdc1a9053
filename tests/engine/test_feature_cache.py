"""The folder of feature files: its place, its size, and who may delete what."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lookright.engine import feature_cache
from lookright.engine.feature_cache import FeatureCache, cache_folder
from lookright.engine.feature_file import FeatureFile

KEYS = [f"{i:032x}" for i in range(4)]
ROW = 1024


def fill(cache: FeatureCache, key: str, rows: int, *, used: int = 0) -> FeatureFile:
    """A file of `rows` rows of 1 KB, open; last used `used` seconds after the year 2001 or so."""
    file = cache.open(key, {"network": key[-1]})
    file.add([(f"{i:032x}", False) for i in range(rows)], torch.zeros(rows, ROW // 4))
    os.utime(file.folder / "index", (1e9 + used, 1e9 + used))
    return file


def there(cache: FeatureCache) -> set[str]:
    return {entry.folder.name for entry in cache.entries()}


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "HOME/.cache/lookright"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/lookright"),
        ("linux", {"XDG_CACHE_HOME": "/x", "LOOKRIGHT_CACHE": "/y"}, "/y"),
        ("darwin", {}, "HOME/Library/Caches/lookright"),
        ("win32", {}, "HOME/AppData/Local/lookright/Cache"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/lookright/Cache"),
    ],
)
def test_place(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("LOOKRIGHT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == Path(expected.replace("HOME", str(tmp_path)))
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"


def test_the_ones_used_longest_ago_go(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit_bytes=40 * ROW)
    for i, used in ((0, 2), (1, 1), (2, 3)):
        fill(cache, KEYS[i], 10, used=used)  # nobody keeps it open
    new = cache.open(KEYS[3], {})
    assert cache.make_room(new, 8 * ROW) == ""
    assert there(cache) == set(KEYS[:3])
    assert cache.make_room(new, 15 * ROW) == ""
    assert there(cache) == {KEYS[0], KEYS[2]}
    assert cache.make_room(new, 39 * ROW) == ""
    assert there(cache) == set()
    assert new.folder.is_dir()


def test_another_run_begins_the_same_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path.mkdir

    def too_late(path: Path, *given: object, **options: bool) -> None:
        own(path, parents=True, exist_ok=True)
        own(path, *given, **options)

    monkeypatch.setattr(Path, "mkdir", too_late)
    assert FeatureCache(tmp_path).open(KEYS[0], {}).folder.is_dir()
    assert (tmp_path / "features" / "CACHEDIR.TAG").read_text().startswith("Signature: ")


def test_opening_counts_as_use(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit_bytes=30 * ROW)
    for i in range(2):
        fill(cache, KEYS[i], 10, used=i)
    cache.open(KEYS[0], {})
    assert cache.make_room(cache.open(KEYS[3], {}), 15 * ROW) == ""
    assert there(cache) == {KEYS[0]}


def test_what_is_open_stays(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit_bytes=30 * ROW)
    held = fill(cache, KEYS[0], 20)
    new = cache.open(KEYS[1], {})
    assert "do not fit into" in cache.make_room(new, 20 * ROW)
    assert cache.clear() == 2
    assert there(cache) == {KEYS[0]}
    assert held.find(("0" * 32, False)) == 0
    del held
    assert cache.make_room(new, 20 * ROW) == ""
    assert there(cache) == set()


def test_what_another_process_has_open_stays_until_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from lookright.engine.feature_cache import FeatureCache\n"
        f"file = FeatureCache(Path({str(tmp_path)!r})).open({KEYS[0]!r}, {{}})\n"
        "file.add([('ab' * 16, False)], torch.zeros(1, 4)); print('open', flush=True); sys.stdin.read()"
    )
    cache = FeatureCache(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        assert cache.clear() == 1
        assert there(cache) == {KEYS[0]}
        process.kill()
        process.wait()
    assert cache.clear() == 0
    assert there(cache) == set()


def test_a_full_disk_is_seen_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path)
    file = cache.open(KEYS[0], {})
    usage = feature_cache.shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: usage)
    assert cache.make_room(file, 1 << 20) == ""
    assert "the disk has" in cache.make_room(file, 2 << 20)


def test_only_what_is_ours_is_deleted(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    fill(cache, KEYS[0], 2)
    fill(cache, KEYS[1], 2)
    (tmp_path / "weights.bin").write_text("somebody's")
    others = [
        cache.folder / "notes.txt",
        cache.folder / "photos" / "index",
        cache.folder / KEYS[1] / "mine.txt",
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("somebody's")
    assert cache.clear() == 0
    assert there(cache) == set()
    assert not (cache.folder / KEYS[0]).exists()
    assert all(path.exists() for path in others)
    assert (tmp_path / "weights.bin").exists()


def test_entries_say_what_is_there(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "not" / "there")
    assert cache.entries() == []
    assert not cache.folder.exists(), "looking makes nothing"
    file = fill(cache, KEYS[0], 2, used=5)
    file.add([("0" * 32, True)], torch.zeros(1, ROW // 4))
    os.utime(file.folder / "index", (1e9, 1e9))
    fill(cache, KEYS[1], 1, used=-5)
    (cache.folder / KEYS[1] / "index").write_text("broken")
    os.utime(cache.folder / KEYS[1] / "index", (1, 1))
    good, broken = cache.entries()
    assert (good.about, good.images, good.rows, good.used) == ({"network": "0"}, 2, 3, 1e9)
    assert good.nbytes == sum((file.folder / name).stat().st_size for name in ("index", "rows"))
    assert "damaged" in broken.problem
    assert broken.about == {}
