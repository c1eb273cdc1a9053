"""Starting: quickly, from the command line, and ending again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from annotate_made import write_photos
from annotate_process import get, served

from lookright.cli import main
from lookright.config import TrainConfig
from lookright.engine.train import train
from lookright.models import create

MANY = 10_000
TOKEN = "correct horse battery"


def test_many_photos_are_told_of_without_torch_and_without_opening_one(tmp_path: Path) -> None:
    for number in range(MANY):
        file = tmp_path / f"images/class{number % 5}/{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    # In a process of its own: here everything is loaded, and what watches opened files would stay.
    command = [sys.executable, str(Path(__file__).with_name("annotate_started.py")), str(tmp_path)]
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    told = json.loads(started.stdout)
    assert told == {"loaded": [], "images": MANY, "opened": []}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_serves_and_ends_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    folder = write_photos(tmp_path / "data")
    before = sorted(folder.rglob("*"))
    with served(str(folder), "--annotator", "anna") as (url, process, lines):
        assert url.startswith("http://127.0.0.1:")
        status, body = get(url + "api/session")
        assert (status, json.loads(body)["annotator"]) == (200, "anna")
        assert get(url + "api/session", Host="evil.example")[0] == 421
        assert get(url + "static/%2e%2e/app.py")[0] == 404
        assert get(url)[0] == 200
        process.send_signal(how)
        assert process.wait(timeout=30) == 0
    assert not [line for line in lines if "Traceback" in line]
    assert sorted(folder.rglob("*")) == before


def test_under_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with served(str(folder)) as (url, process, _):
            assert get(url)[0] == 200
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert (get(url)[0], process.poll()) == (200, None)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_host_is_loud_and_needs_its_token(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data")
    with served(str(folder), "--host", "0.0.0.0", "--token", TOKEN, "--name", "lab.example:9000") as (
        url,
        _,
        lines,
    ):
        assert any("WARNING: other machines" in line for line in lines)
        here = url.split("?")[0]
        assert here.startswith("http://127.0.0.1:")
        assert get(here + "api/session")[0] == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opener.open(url, timeout=10).status == 200
        assert json.load(opener.open(here + "api/session", timeout=10))["images"] == 6
        also = next(line for line in lines if line.startswith("Also at "))
        assert f"http://{socket.gethostname().lower()}:" in also
        assert "http://lab.example:9000/?token=" in also
        # Served, and asked for the token; a foreign name that leads here is not.
        assert get(here + "api/session", Host="lab.example:9000")[0] == 401
        assert get(here + "api/session", Host="evil.example")[0] == 421


@pytest.mark.parametrize(("arguments", "status"), [((), 403), (("--follow-links",), 200)])
def test_another_host_is_shown_links_where_that_is_said(
    tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    folder = write_photos(tmp_path / "data")
    (folder / "images/cat/a.jpg").rename(tmp_path / "private.jpg")
    (folder / "images/cat/a.jpg").symlink_to(tmp_path / "private.jpg")
    with served(str(folder), "--host", "0.0.0.0", "--token", TOKEN, *arguments) as (url, _, _):
        url = url.replace("0.0.0.0", "127.0.0.1")
        here = url.split("?")[0]
        assert get(here)[0] == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        opener.open(url, timeout=10).close()
        try:
            found = opener.open(here + "api/images/0/photo", timeout=10).status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status


def test_with_a_run_all_photos_are_predicted_meanwhile(digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(TrainConfig(data=digits, out=run, backbone="small_cnn", weights="none", train="all",
                      method="baseline", image_size=32, epochs=1))  # fmt: skip
    with served(str(digits), "--run", str(run), "--out", str(tmp_path / "marks")) as (url, process, lines):
        for _ in range(300):
            session = json.loads(get(url + "api/session")[1])
            if session["predicted"] == session["images"]:
                break
            time.sleep(0.1)
        assert session["has_model"]
        assert session["predicted"] == session["images"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "give a --token of 12 characters or more"),
        (["--token", "short"], "token: 5 characters"),
        (["--port", "70000"], "port: got 70000"),
        (["--host", "127.0.0.1:80"], "host: got '127.0.0.1:80'; give an address or a name alone"),
        (["--host", "[::1]"], "host: got '[::1]'; give an address or a name alone"),
        (["--host", "", "--token", TOKEN], "host: got ''; give an address or a name alone"),
        (["--host", "nowhere.invalid", "--token", TOKEN], "host: nowhere.invalid is no address or name of"),
        (["--host", "192.0.2.1", "--token", TOKEN], "host: 192.0.2.1 is no address or name of this machine"),
        (["--name", "http://lab.example"], "name: got 'http://lab.example'; give HOST or HOST:PORT"),
        (["--annotator", "../x"], "annotator: got '../x'"),
        (["--weights", "mine.pth"], "weights: says what the model is that --run names; add --run"),
        (["--run", ".", "--weights", "mine.pth"], "--weights: the run"),
        (["--runs", __file__], "test_annotate_start.py is a file; give a folder"),
        (["--runs", f"{__file__}/runs"], "runs cannot be written (Not a directory); give another folder"),
        (["--combine", "mean"], "combine: mean is about several people's marks to start with"),
        (["--positive-categories", "cat"], "positive_categories: masks in folders have no categories"),
        (["--run", "plain"], "model: 'plain': no run folder, and no such network"),
        (["--run", ""], "model: empty; give a run folder"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["annotate", str(folder), "--no-browser", *arguments])
    assert left.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (folder / "annotators").exists()


def test_a_port_that_is_taken_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SystemExit):
        main(["annotate", str(folder), "--no-browser", "--port", str(other.getsockname()[1])])
    assert "port: cannot listen at 127.0.0.1:" in capsys.readouterr().err


def test_a_model_by_name_takes_the_options_of_an_audit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, names, seen = tmp_path / "mine.pth", tmp_path / "names.txt", []
    torch.save(
        create("small_cnn", num_classes=2, weights="none", image_size=32).network.state_dict(), weights
    )
    names.write_text("dog\ncat\n", encoding="utf-8")
    monkeypatch.setattr("lookright.annotate.serve.serve", lambda _, looking, **__: seen.append(looking.model))
    main(["annotate", str(folder), "--run", "small_cnn", "--weights", str(weights), "--classes", str(names),
          "--image-size", "32", "--explainer", "cam", "--device", "cpu"])  # fmt: skip
    assert seen[0].classes == ("dog", "cat")
    assert seen[0].config.weights == str(weights)
    assert (seen[0].config.image_size, seen[0].config.explainer) == (32, "cam")


def test_a_missing_extra_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookright.cli.annotate.find_spec", lambda name: None if name == "uvicorn" else 1)
    with pytest.raises(SystemExit):
        main(["annotate", str(folder), "--no-browser"])
    assert "annotate needs uvicorn: install lookright with the extra 'annotate'" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="the browser is a script")
def test_a_browser_is_shown_the_page(folder: Path, tmp_path: Path) -> None:
    browser, shown = tmp_path / "browser.sh", tmp_path / "shown.txt"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shown}\n', encoding="utf-8")
    browser.chmod(0o755)
    with served(str(folder), "--token", TOKEN, browser=browser) as (url, _, _):
        for _ in range(300):
            if shown.is_file() and shown.read_text(encoding="utf-8").strip():
                break
            time.sleep(0.1)
        assert shown.read_text(encoding="utf-8").strip() == url
        assert url.endswith("/?token=correct%20horse%20battery")
