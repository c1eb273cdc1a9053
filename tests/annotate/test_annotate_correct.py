"""Correct: a run is trained on what is marked, in the background, and measured beside the old one."""

import json
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from annotate_corrected import PATIENCE, SIDE, Correcting, correcting, mark, train_small, write_split_photos
from annotate_made import pixels, random_marks
from annotate_process import get, is_worker, served, workers

from lookright.annotate.order import Prediction
from lookright.config import DataConfig
from lookright.data import AnnotationSet, read_annotations
from lookright.engine.evaluate import evaluate
from lookright.engine.run_folder import RunFolder
from lookright.models import create

TRAINING = [0, 1, 6, 7]
TEST = [4, 10]
UNUSUAL: dict[str, Any] = {
    "batch_size": 3,
    "accumulate": 2,
    "batchnorm": "train",
    "optimizer": "sgd",
    "lr": 0.01,
    "weight_decay": 0.002,
    "schedule": "constant",
    "warmup": 0.1,
    "flip": False,
}
"""Options of the run, none of them the default"""


class Made(NamedTuple):
    data: Path
    run: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Photos without marks, and a run of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("correct")
    data = write_split_photos(folder / "data")
    return Made(data, train_small(data, folder / "run", **UNUSUAL))


@pytest.fixture
def data(made: Made, tmp_path: Path) -> Path:
    """A copy of the photos for one test."""
    return Path(shutil.copytree(made.data, tmp_path / "data"))


@pytest.fixture
def correct(made: Made, data: Path) -> Iterator[Correcting]:
    """The API with photos of both classes marked; a correction takes an hour."""
    with correcting(data, made.run, epochs=100_000) as found:
        mark(found.project, TRAINING)
        yield found


class Done(NamedTuple):
    correct: Correcting
    told: Any
    during: list[Any]


@pytest.fixture(scope="module")
def done(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A correction from its start to its end, and what was told meanwhile."""
    data = Path(shutil.copytree(made.data, tmp_path_factory.mktemp("done") / "data"))
    with correcting(data, made.run) as found:
        mark(found.project, TRAINING + TEST)
        assert found.told()["state"] == "none"
        answer = found.post()
        assert answer.status_code == 202, answer.text
        during = [answer.json()]
        while during[-1]["state"] == "running":
            during.append(found.told())
        yield Done(found, during.pop(), during)


def test_it_is_trained_and_then_measured(done: Done) -> None:
    assert done.told["state"] == "done", done.told
    assert [told["step"] for told in done.during[:1]] == ["train"]
    assert done.during[-1]["step"] == "evaluate"
    assert {told["epochs"] for told in done.during} == {2}
    assert done.told["epoch"] == 2
    assert done.told["marked"] == len(TRAINING)
    seconds = [told["seconds"] for told in done.during]
    assert seconds == sorted(seconds)
    assert done.told["seconds"] >= seconds[-1]


def test_the_figures_are_those_of_evaluate(done: Done, made: Made, tmp_path: Path) -> None:
    run = Path(done.told["run"])
    now = DataConfig(data=done.correct.project.images.root)
    for name, folder in (("new", run), ("old", made.run)):
        written = evaluate(folder, data=now, out=tmp_path / name, device="cpu", progress=False)
        figures = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
        told = done.told[name]
        assert told["accuracy"] == pytest.approx(figures["accuracy"]["value"])
        assert told["iou"] == pytest.approx(figures["iou"]["value"], abs=1e-4)
        assert (told["images"], told["annotated"]) == (4, 2)
        matrix = figures["reasonability_matrix"]
        assert told["reasonability"] == {cell: part["n"] for cell, part in matrix.items()}
        assert sum(told["reasonability"].values()) == 2


def test_the_options_of_the_old_run_are_taken_over(done: Done, made: Made) -> None:
    old, new = RunFolder(made.run).config(), RunFolder(done.told["run"]).config()
    for name in ("backbone", "weights", "image_size", "explainer", "train", "epochs", *UNUSUAL):
        assert getattr(old, name) == getattr(new, name), name
    assert {name: getattr(old, name) for name in UNUSUAL} == UNUSUAL
    assert new.method == "auto"
    assert (Path(done.told["run"] + ".log")).is_file()


def test_both_runs_have_maps(done: Done) -> None:
    page = done.correct.page
    old, new = (page.content("images/0/map", of=which) for which in ("old", "new"))
    assert pixels(old).shape == pixels(new).shape == (SIDE, SIDE, 4)
    assert old == page.content("images/0/map")
    assert old != new
    assert page.http.get("/api/images/0/map?of=other").status_code == 400


def test_what_the_new_model_says_of_all_photos_comes_after_the_figures(done: Done) -> None:
    assert not any(told["predicting"] for told in done.during)
    corrections, page = done.correct.corrections, done.correct.page
    old, new = corrections.old, corrections.new
    assert old is not None
    assert new is not None
    end = time.monotonic() + PATIENCE
    while (told := done.correct.told())["predicting"]:
        assert time.monotonic() < end
    assert told["predicted"] == len(new.images.items) == 12
    old.predict_all()
    rows = page.get("images")["images"]
    differing = [row["index"] for row in rows if row["new"]["predicted"] != row["predicted"]]
    old.predictions[0] = Prediction(1 - new.predictions[0].predicted, 0.9)
    differing = sorted({*differing, 0})
    assert [row["index"] for row in page.get("images", model="changed")["images"]] == differing
    assert done.correct.told()["changed"] == len(differing)
    assert page.get("images/0")["new"]["right"] is new.is_right(0)


def test_the_next_correction_and_the_end_end_the_predictions(made: Made, data: Path) -> None:
    with correcting(data, made.run) as correct:
        mark(correct.project, TRAINING)
        correct.post()
        correct.wait("done")
        first = correct.corrections.new
        assert first is not None
        assert correct.post().status_code == 202
        while not first._stop.is_set():
            assert correct.told()["state"] == "running"
        assert correct.told()["changed"] is None
        correct.wait("done")
        second = correct.corrections.new
        assert second not in (None, first)
    assert second is not None
    assert second._stop.is_set()


def test_readers_pass_over_the_runs(done: Done) -> None:
    project = done.correct.project
    assert project.annotators() == ["anna"]
    found = read_annotations(DataConfig(data=project.images.root))
    assert set(marked(found)) == {project.items[index].id for index in TRAINING + TEST}
    assert not [problem for problem in found.problems if ".runs" in str(problem)]


def test_a_second_start_is_refused_and_cancelling_leaves_nothing(correct: Correcting) -> None:
    assert correct.post().status_code == 202
    refused = correct.post()
    assert refused.status_code == 409
    assert "a correction is running" in refused.json()["error"]
    assert correct.page.http.get("/api/images/0/map?of=new").status_code == 404
    run = correct.corrections.runs / "corrected-1"
    while not (run / "log.csv").is_file():
        assert correct.told()["state"] == "running", correct.told()
    assert 0 < correct.told()["epoch"] < 100_000
    process = correct.corrections._commands._process
    assert process is not None
    answer = correct.delete()
    assert answer.json()["state"] == "cancelled"
    assert process.poll() is not None
    assert group_of(process.pid) == ""
    assert not correct.corrections.runs.exists()
    assert correct.corrections._free_folder().name == "corrected-2"  # maps are kept by the name
    assert "correction" not in {thread.name for thread in threading.enumerate()}


def group_of(leader: int) -> str:
    """Processes of a group, as `ps` lists them."""
    listed = subprocess.run(["ps", "-eo", "pgid=,pid="], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if line.split()[0] == str(leader))


def test_closing_ends_it_too(correct: Correcting) -> None:
    correct.post()
    while (process := correct.corrections._commands._process) is None:
        pass
    correct.corrections.close()
    assert process.poll() is not None
    assert correct.told()["state"] == "cancelled"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_servers_end_ends_it_too(made: Made, data: Path, tmp_path: Path, how: signal.Signals) -> None:
    with correcting(data, None) as correct:
        mark(correct.project, TRAINING)
    run = Path(shutil.copytree(made.run, tmp_path / "run"))
    options = run / "config.yaml"
    text = options.read_text(encoding="utf-8")
    options.write_text(re.sub(r"^epochs: .*", "epochs: 100000", text, flags=re.MULTILINE), encoding="utf-8")
    runs = tmp_path / "runs"
    with served(str(data), "--annotator", "anna", "--run", str(run), "--runs", str(runs)) as (
        url,
        process,
        _,
    ):
        token = re.search(r'name="token" content="([^"]+)"', get(url)[1].decode())
        assert token is not None
        request = urllib.request.Request(url + "api/correct", method="POST", headers={"X-Token": token[1]})
        assert urllib.request.urlopen(request).status == 202
        while not (runs / "corrected-1/log.csv").exists():
            assert json.loads(get(url + "api/correct")[1])["state"] == "running"
            time.sleep(0.1)
        (worker,) = workers(process.pid)
        process.send_signal(how)
        assert process.wait(timeout=60) == (0 if how == signal.SIGTERM else -how)
        end = time.monotonic() + (30 if how == signal.SIGKILL else 0)
        while is_worker(worker):
            assert time.monotonic() < end
            time.sleep(0.1)
    assert runs.exists() == (how == signal.SIGKILL)


def test_the_process_of_the_next_correction_waits_once_something_is_marked(made: Made, data: Path) -> None:
    with correcting(data, made.run, ahead=True) as correct:
        corrections, page = correct.corrections, correct.page
        assert page.put_marks(0, random_marks((SIDE, SIDE))).status_code == 200
        waiting = corrections._commands._process
        assert waiting is not None
        mark(correct.project, TRAINING[1:])
        assert page.put_marks(1, random_marks((SIDE, SIDE)), version=1).status_code == 200
        assert correct.post().status_code == 202
        assert corrections._commands._process is waiting
        assert correct.wait("done", "failed")["state"] == "done"
        assert waiting.poll() is not None
        assert page.put_marks(2, random_marks((SIDE, SIDE))).status_code == 200
        following = corrections._commands._process
        assert following not in (None, waiting)
    assert following is not None
    assert following.poll() is not None


def test_no_process_waits_where_nothing_can_be_trained(data: Path) -> None:
    shutil.rmtree(data / "images/right")
    (data / "split.csv").unlink()
    with correcting(data, None, ahead=True) as correct:
        correct.corrections.prepare()
        assert correct.corrections._commands._process is None


def test_cancelling_nothing_changes_nothing(correct: Correcting) -> None:
    assert correct.delete().json()["state"] == "none"


def test_a_failure_is_told_by_its_last_line(made: Made, data: Path) -> None:
    with correcting(data, made.run, target_layer="no.such.layer") as correct:
        mark(correct.project, TRAINING)
        correct.post()
        told = correct.wait("failed")
        assert "no.such.layer" in told["error"]
        assert "Traceback" not in told["error"]
        assert told["run"] is None
        assert not (correct.corrections.runs / "corrected-1").exists()
        assert "no.such.layer" in (correct.corrections.runs / "corrected-1.log").read_text(encoding="utf-8")


def test_a_model_that_cannot_be_opened_is_told_and_its_run_stays(
    made: Made, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    with correcting(data, made.run) as correct:
        mark(correct.project, TRAINING)
        monkeypatch.setattr(correct.corrections, "looking", fail)
        correct.post()
        told = correct.wait("failed")
        assert told["error"] == "CUDA out of memory. Tried to allocate"
        assert told["run"] is None
        assert (correct.corrections.runs / "corrected-1/run.json").is_file()
        monkeypatch.undo()
        assert correct.post().status_code == 202
        assert correct.wait("done", "failed")["state"] == "done"


def test_cancelling_while_the_new_model_is_opened_leaves_nothing(
    made: Made, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = data / "split.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",test", ",val"), encoding="utf-8")
    with correcting(data, made.run) as correct:
        mark(correct.project, TRAINING)
        opened, opening = correct.corrections.looking, threading.Event()

        def open_slowly(run: str) -> Any:
            opening.set()
            correct.corrections._commands._stop.wait(60)
            return opened(run)

        monkeypatch.setattr(correct.corrections, "looking", open_slowly)
        correct.post()
        assert opening.wait(PATIENCE)
        assert correct.delete().json()["state"] == "cancelled"
        assert not correct.corrections.runs.exists()


def test_an_old_run_that_cannot_be_measured_is_no_reason_to_lose_the_new_figures(
    made: Made, data: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(made.run, tmp_path / "run"))
    with correcting(data, run) as correct:
        mark(correct.project, TRAINING)
        (run / "config.yaml").unlink()
        correct.post()
        told = correct.wait("done", "failed")
        assert told["state"] == "done"
        assert (told["new"]["images"], told["old"]) == (4, None)
        assert told["note"].startswith("The old run could not be measured: ")


def test_nothing_begins_at_the_servers_end(made: Made, data: Path) -> None:
    with correcting(data, made.run, ahead=True) as correct:
        mark(correct.project, TRAINING)
        correct.corrections.close()
        assert "is ending" in refusal(correct)
        correct.corrections.prepare()
        assert correct.corrections._commands._process is None


def refusal(correct: Correcting) -> str:
    answer = correct.post()
    assert answer.status_code == 409, answer.text
    assert correct.told()["state"] == "none"
    return str(answer.json()["error"])


def test_too_few_marks_are_refused(made: Made, data: Path) -> None:
    with correcting(data, made.run) as correct:
        mark(correct.project, [0])
        assert "1 photos are marked; mark 2 or more" in refusal(correct)
        mark(correct.project, TEST)
        assert "1 of the 3 marked photos are in the training split" in refusal(correct)


def test_marks_of_everybody_count(made: Made, data: Path) -> None:
    with correcting(data, made.run, annotator="ben") as correct:
        mark(correct.project, TRAINING)
    with correcting(data, made.run) as correct:
        corrections = correct.corrections
        assert len(marked(corrections.training.read())) == len(TRAINING)
        mark(correct.project, [2, 8], value=0)
        found = corrections.training.read()
        assert len(marked(found)) == len(TRAINING) + 2
        assert corrections.training.options(found)["method"] == "auto"
        assert correct.post().json()["marked"] == len(TRAINING) + 2


def marked(found: AnnotationSet) -> list[str]:
    return [item.id for item in found.items if item.annotated]


@pytest.mark.parametrize("classes", [(), ("Left", "right")])
def test_a_model_that_is_no_run_is_where_the_new_run_begins(
    data: Path, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    model = {"weights": write_weights(tmp_path), "image_size": SIDE, "classes": classes, "explainer": "cam"}
    with correcting(data, "small_cnn", model=model) as correct:
        mark(correct.project, TRAINING)
        training = correct.corrections.training
        options = training.options(training.read())
    assert {name: options[name] for name in ("backbone", "weights", "image_size", "explainer")} == {
        "backbone": "small_cnn",
        "weights": model["weights"],
        "image_size": SIDE,
        "explainer": "cam",
    }
    assert (options["method"], options["epochs"], options["lr"]) == ("auto", 15, 0.001)


def test_a_model_whose_outputs_are_in_another_order_is_refused(data: Path, tmp_path: Path) -> None:
    model = {"weights": write_weights(tmp_path), "image_size": SIDE, "classes": ("right", "left")}
    with correcting(data, "small_cnn", model=model) as correct:
        mark(correct.project, TRAINING)
        said = refusal(correct)
    assert "the outputs of the old model are right, left, and the class folders left, right" in said


def write_weights(folder: Path) -> str:
    """A file of weights of `small_cnn` for two classes."""
    file = folder / "mine.pth"
    torch.save(create("small_cnn", num_classes=2, weights="none", image_size=SIDE).network.state_dict(), file)
    return str(file)


def test_what_the_training_would_refuse_is_said_at_once(made: Made, data: Path) -> None:
    with correcting(data, made.run) as correct:
        mark(correct.project, TRAINING)
        (data / "split.csv").write_text(
            "file,class,split\nimages/left/none.png,left,train\n", encoding="utf-8"
        )
        assert "images/left/none.png does not exist" in refusal(correct)


def test_a_class_without_training_photos_is_refused(data: Path) -> None:
    table = data / "split.csv"
    text = table.read_text(encoding="utf-8").replace("right,train", "right,val")
    table.write_text(text, encoding="utf-8")
    with correcting(data, None) as correct:
        mark(correct.project, [0, 1])
        assert "the class right has no photo in the training split" in refusal(correct)


def test_one_class_is_refused(data: Path) -> None:
    shutil.rmtree(data / "images/right")
    (data / "split.csv").unlink()
    with correcting(data, None) as correct:
        mark(correct.project, [0, 1])
        assert "two classes or more" in refusal(correct)


def test_writing_needs_the_token(correct: Correcting) -> None:
    assert correct.page.http.post("/api/correct").status_code == 403
    assert correct.page.http.delete("/api/correct").status_code == 403
    assert correct.told()["state"] == "none"


@pytest.mark.parametrize(("value", "method"), [(0, "evidence"), (255, "auto")])
def test_the_method_is_the_recommended_one(data: Path, tmp_path: Path, value: int, method: str) -> None:
    with correcting(data, None, out=tmp_path / "marks") as correct:
        mark(correct.project, TRAINING, value)
        training = correct.corrections.training
        options = training.options(training.read())
        assert (options["method"], options["epochs"], options["lr"]) == (method, 15, 0.001)
        assert training.data_arguments()[2:] == [
            "--annotations",
            str((tmp_path / "marks").resolve()),
        ]
