"""Annotations completed from features: where evidence and share of marks are known, and in runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_runs import Killed, assert_close_logs, assert_same_run, kill_in_step, plain
from torch import Tensor, nn

from lookright import cli
from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, Item, Matrix
from lookright.engine import journal
from lookright.engine.completion import Completion
from lookright.engine.completion_run import complete, find_marks
from lookright.engine.features import FeatureStore
from lookright.engine.processes import make_fabric
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.engine.trunk import FrozenTrunk
from lookright.errors import ConfigError, LookrightWarning, NonFiniteError
from shapes_data import write_numbers, write_several_labels

SIDE, CHANNELS = 6, 8


class Problem:
    """Cells of Gaussian features, and marks on a random share of the evidence.

    Args:
        images: how many
        share: of the evidence that is marked
        distance: of the evidence's mean from that of the rest, in standard deviations
    """

    def __init__(self, images: int, share: float, *, distance: float) -> None:
        random = np.random.default_rng(0)
        self.distance = distance
        self.evidence = random.random((images, SIDE, SIDE)) < 0.25
        self.evidence[:, 0, 0] = True
        features = random.standard_normal((images, CHANNELS, SIDE, SIDE))
        features[:, 0] += distance * self.evidence
        self.features = torch.from_numpy(features).float()
        self.marks = self.evidence & (random.random(self.evidence.shape) < share)
        self.marks[:, 0, 0] = True

    def share(self, annotated: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(self.marks & annotated[:, None, None]).float()[:, None]

    def posterior(self) -> NDArray[np.float64]:
        """How likely a cell belongs to the evidence, by Bayes' rule."""
        value = self.features[:, 0].double().numpy()
        odds = 0.25 / 0.75 * np.exp(self.distance * value - self.distance**2 / 2)
        return np.asarray(odds / (1 + odds))


def half(images: int) -> NDArray[np.bool_]:
    return np.arange(images) % 2 == 0


@pytest.mark.parametrize(("distance", "at_least"), [(6, 0.85), (3, 0.7)])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.3])
def test_finds_the_evidence_and_how_much_of_it_is_marked(
    share: float, distance: float, at_least: float
) -> None:
    """Where some of the evidence looks like the rest, c comes out low; the region hardly suffers."""
    problem, annotated = Problem(1000, share, distance=distance), half(1000)
    found = Completion()(problem.features, problem.share(annotated), torch.from_numpy(annotated))
    true = problem.marks.sum() / problem.evidence.sum()
    assert at_least * true < found.drawn < 1.02 * true
    assert found.auroc > 0.85
    best = (problem.posterior() > 0.5) == problem.evidence
    ours = (found.region.numpy() > 0.5) == problem.evidence
    assert ours[~annotated].mean() > best.mean() - 0.03, "nearly as often right as anybody can be"


def test_the_formula_in_numpy() -> None:
    """Two images, so that each is told of by a model of the other: c and region from their probabilities."""
    problem = Problem(3, 0.6, distance=3)
    share = problem.share(np.array([True, True, False]))
    found = Completion(folds=2)(problem.features, share, torch.tensor([True, True, False]))
    cells = problem.features.flatten(2).transpose(1, 2).double().numpy()
    marks = share.flatten(1).numpy()
    told = np.stack([logistic(cells[1], marks[1], cells[0]), logistic(cells[0], marks[0], cells[1])])
    c = (marks[:2] * told).sum() / marks[:2].sum()
    rest = logistic(cells[:2].reshape(-1, CHANNELS), marks[:2].flatten(), cells[2])
    assert found.drawn == pytest.approx(c, abs=1e-3)
    expected = np.minimum(np.stack([*told, rest]) / c, 1)
    np.testing.assert_allclose(found.region.flatten(1).numpy(), expected, atol=5e-3)


def logistic(
    cells: NDArray[np.float64], share: NDArray[np.float32], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Regularised logistic regression of shares by Newton's method, and what it tells of other cells."""
    mean, sd = cells.mean(axis=0), cells.std(axis=0)
    x = np.c_[(cells - mean) / sd, np.ones(len(cells))]
    w, penalty = np.zeros(x.shape[1]), np.r_[np.ones(x.shape[1] - 1), 0] / 0.01
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (p - share) + penalty * w
        w -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty), slope)
    return np.asarray(1 / (1 + np.exp(-np.c_[(asked - mean) / sd, np.ones(len(asked))] @ w)))


def test_nobody_tells_of_what_he_learned_from() -> None:
    """Noise can be learned by heart; of images that were not learned from it says nothing."""
    torch.manual_seed(0)
    features, share = torch.randn(6, 400, 4, 4), torch.zeros(6, 1, 4, 4)
    share[:, :, 1] = 1
    features -= features.mean(dim=(2, 3), keepdim=True)
    found = Completion(folds=6)(features, share, torch.ones(6, dtype=torch.bool))
    assert 0.35 < found.auroc < 0.65


def test_many_cells_are_learned_from_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, annotated = Problem(120, 0.7, distance=6), half(120)
    asked = (problem.features, problem.share(annotated), torch.from_numpy(annotated))
    whole = Completion()(*asked)
    monkeypatch.setattr("lookright.engine.completion.CELLS", 1000)
    part = Completion()(*asked)
    assert part.drawn == pytest.approx(whole.drawn, abs=0.1)
    assert ((part.region > 0.5) == (whole.region > 0.5)).float().mean() > 0.95


def test_mirrored_features_tell_of_the_same_cells() -> None:
    problem, annotated = Problem(200, 0.7, distance=3), half(200)
    share, marked = problem.share(annotated), torch.from_numpy(annotated)
    alone = Completion()(problem.features, share, marked)
    mirrored = Completion()(problem.features, share, marked, problem.features.flip(-1))
    wrong = Completion()(problem.features, share, marked, problem.features)
    torch.testing.assert_close(mirrored.region, alone.region, atol=0.1, rtol=0)
    assert mirrored.auroc == pytest.approx(alone.auroc, abs=0.01)
    assert wrong.auroc < alone.auroc - 0.05


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., ExplanationDataset]:
    """Images that somebody has annotated with grids of 1 and -1; None: nobody has."""
    photo = tmp_path / "photo.png"
    Image.new("RGB", (12, 8)).save(photo)

    def make(grids: list[NDArray[np.float32] | None], **options: object) -> ExplanationDataset:
        items = [
            Item(f"{i}.png", photo, 0, "train", marks=None if g is None else Matrix(*signs(g)))
            for i, g in enumerate(grids)
        ]
        common = {"image_size": 4 * SIDE, "mean": [0.5] * 3, "std": [0.5] * 3}
        return ExplanationDataset(items, **common | options)

    return make


def signs(grid: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return grid.clip(min=0), (-grid).clip(min=0)


def grids_of(problem: Problem, annotated: NDArray[np.bool_]) -> list[NDArray[np.float32] | None]:
    return [
        m.astype(np.float32) if there else None for m, there in zip(problem.marks, annotated, strict=True)
    ]


def drawn_on_cells(data: ExplanationDataset, index: int) -> NDArray[np.float32]:
    return np.asarray(data.marks(index)[0][1][0, ::4, ::4].numpy(), dtype=np.float32)


def test_clean_annotations_stay_and_the_others_are_found(images: Callable[..., ExplanationDataset]) -> None:
    problem, annotated = Problem(80, 1.0, distance=6), half(80)
    data = images(grids_of(problem, annotated))
    marks, facts = find_marks(Completion(), data, problem.features)
    assert sorted(marks) == np.flatnonzero(~annotated).tolist()
    assert facts["images"] == 40
    assert facts["drawn"] > 0.5
    assert facts["auroc"] > 0.95
    changed = data.with_marks(marks)
    assert changed.annotated_images == 80
    agree = [(drawn_on_cells(changed, i) > 0) == problem.evidence[i] for i in np.flatnonzero(~annotated)]
    assert np.mean(agree) > 0.97


def test_annotations_in_part_are_completed_and_keep_every_mark(
    images: Callable[..., ExplanationDataset],
) -> None:
    problem, annotated = Problem(80, 0.3, distance=6), half(80)
    grids = grids_of(problem, annotated)
    negative, empty = np.zeros((2, SIDE, SIDE), dtype=np.float32)
    negative[problem.evidence[0]] = -1
    both = problem.marks[4].astype(np.float32)
    forbidden = np.argwhere(problem.evidence[4] & ~problem.marks[4])[0]
    both[tuple(forbidden)] = -1
    grids[0], grids[2], grids[4] = negative, empty, both
    data = images(grids)
    marks, facts = find_marks(Completion(), data, problem.features)
    assert facts["drawn"] < 0.5
    assert facts["images"] == len(marks) == 78
    assert not {0, 2} & set(marks), "no positive mark: what a person said of the image stays"
    changed = data.with_marks(marks)
    assert drawn_on_cells(changed, 4)[tuple(forbidden)] == -1
    for i in range(6, 80, 2):
        assert (drawn_on_cells(changed, i) >= grids[i]).all(), "marks of people stay"
    agree = [(drawn_on_cells(changed, i) > 0) == problem.evidence[i] for i in range(6, 80)]
    assert np.mean(agree) > 0.95
    assert find_marks(Completion(complete_below=0), data, problem.features)[1]["images"] == 40


def test_graded_marks_stay_graded(images: Callable[..., ExplanationDataset]) -> None:
    problem = Problem(40, 0.3, distance=6)
    grids = [0.5 * grid for grid in problem.marks.astype(np.float32)]
    data = images(grids)
    changed = data.with_marks(find_marks(Completion(), data, problem.features)[0])
    marks = drawn_on_cells(changed, 3)
    assert (marks[problem.marks[3]] == 0.5).all()
    assert set(marks.flatten()) == {0.0, 0.5, 1.0}


def test_derived_negative_marks_are_derived_of_the_completed(
    images: Callable[..., ExplanationDataset],
) -> None:
    problem, annotated = Problem(40, 0.3, distance=6), half(40)
    data = images(grids_of(problem, annotated), negatives_outside=0.0)
    assert (drawn_on_cells(data, 0)[problem.evidence[0] & ~problem.marks[0]] == -1).all()
    changed = data.with_marks(find_marks(Completion(), data, problem.features)[0])
    for i in (0, 1):
        marks = drawn_on_cells(changed, i)
        assert set(marks.flatten()) == {-1.0, 1.0}
        assert ((marks > 0) == problem.evidence[i]).mean() > 0.9


@pytest.mark.parametrize("annotated", [0, 1, 2])
def test_two_images_are_needed(annotated: int, images: Callable[..., ExplanationDataset]) -> None:
    problem = Problem(10, 1.0, distance=6)
    data = images(grids_of(problem, np.arange(10) < annotated))
    if annotated == 2:
        assert find_marks(Completion(), data, problem.features)[1]["images"] >= 8
        return
    with pytest.warns(LookrightWarning, match=f"not completed: images with a positive mark: {annotated}, "):
        marks, facts = find_marks(Completion(), data, problem.features)
    assert (marks, facts) == ({}, {"images": 0})


@pytest.mark.parametrize("all_is_marked", [False, True])
def test_features_that_tell_nothing_change_nothing(
    all_is_marked: bool, images: Callable[..., ExplanationDataset]
) -> None:
    problem, annotated = Problem(60, 1.0, distance=0), half(60)
    problem.marks |= all_is_marked
    data = images(grids_of(problem, annotated))
    with pytest.warns(
        LookrightWarning, match=r"features do not tell marked cells from others \(AUROC 0\.[45]"
    ):
        marks, facts = find_marks(Completion(), data, problem.features)
    assert marks == {}
    assert facts["images"] == 0
    assert facts["auroc"] < 0.6


def auto(**changes: object) -> dict[str, object]:
    return {"method": "auto", "annotated_per_class": 2, "train": "last-stage", **changes}


def shallow(num_classes: int) -> nn.Module:
    """The backbone `test_completion:shallow`: it has no map below what learns."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


class Overflow(nn.Module):
    """Infinite for images that are not black: nothing is wrong where a network is tried out."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.where(x.abs().amax() > 0.99, torch.inf, 1.0)


def broken(num_classes: int) -> nn.Module:
    """The backbone `test_completion:broken`."""
    return nn.Sequential(Overflow(), *plain(num_classes))


class TestRuns:
    """The method `auto`, end to end."""

    @pytest.fixture
    def computed(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
        """The images whose features were computed, in order."""
        keys: list[tuple[str, bool]] = []
        compute = FrozenTrunk._compute

        def noting(self: FrozenTrunk, some: list[tuple[str, bool]], *rest: object) -> object:
            keys.extend(some)
            return compute(self, some, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(FrozenTrunk, "_compute", noting)
        return keys

    def test_the_run_tells_what_was_completed(self, options: Callable[..., TrainConfig]) -> None:
        facts = train(options(**auto())).facts()
        assert facts["images"] == {"train": 40, "annotated": 20, "val": 20}
        assert facts["completed"]["images"] == 20
        assert 0.5 < facts["completed"]["drawn"] <= 1
        assert 0.9 < facts["completed"]["auroc"] <= 1
        assert facts["method"] == "auto"
        assert facts["objective"].startswith("complete + ")

    def test_without_it_nothing_is_told(self, options: Callable[..., TrainConfig]) -> None:
        assert train(options(epochs=1)).facts()["completed"] is None

    @pytest.mark.parametrize("scope", ["last-stage", "head", "all"])
    def test_the_same_wherever_features_are(
        self,
        scope: str,
        options: Callable[..., TrainConfig],
        tmp_path: Path,
        computed: list[tuple[str, bool]],
    ) -> None:
        common = auto(train=scope, cache_dir=tmp_path / "cache")
        runs = []
        for name, where in {
            "kept": {},
            "again": {},
            "in memory": {"cache_gb": 0.0},
            "not": {"cache_features": False},
        }.items():
            computed.clear()
            runs.append(train(options(out=tmp_path / name, **common, **where)))
            whole = [shown for shown, _ in computed if "(isolated)" not in shown]
            once = 100 if name in ("kept", "in memory") and scope != "all" else 0  # 40, mirrored, and 20
            assert once <= len(whole) <= once + 8, "of each image once; and a few, to try it out"
        for run in runs[1:]:
            assert_close_logs(runs[0], run)
            assert run.facts()["completed"] == runs[0].facts()["completed"]

    def test_features_that_are_there_need_no_photo(
        self, options: Callable[..., TrainConfig], tmp_path: Path
    ) -> None:
        common = auto(cache_dir=tmp_path / "cache", epochs=1)
        config = options(out=tmp_path / "two", **common)
        train(options(out=tmp_path / "one", **common))
        before = set_up(config)
        completed = complete(before, config, make_fabric(config), FeatureStore.of(config)).train
        assert isinstance(completed, ExplanationDataset)
        assert len(completed._memory.pixels) <= 4 + 1, "a few to try features out, one to find marks"

    @pytest.mark.parametrize(
        "changes", [{}, {"cache_features": False}, {"train": "all", "corrupt": "drop(0.5)"}]
    )
    def test_resumed_equals_uninterrupted(
        self,
        changes: dict[str, object],
        options: Callable[..., TrainConfig],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        common = auto(epochs=3, **changes)
        straight = train(options(out=tmp_path / "straight", **common))
        with monkeypatch.context() as patch:
            patch.setattr(journal, "WRITE_SECONDS", 0.0)
            kill_in_step(patch, step=3)
            with pytest.raises(Killed):
                train(options(out=tmp_path / "killed", **common))
        cli.main(["train", "--config", str(tmp_path / "killed" / "config.yaml"), "--resume"])
        assert_same_run(straight, RunFolder(tmp_path / "killed"))
        assert straight.facts()["completed"] == RunFolder(tmp_path / "killed").facts()["completed"]

    def test_annotations_are_made_rough_once(self, options: Callable[..., TrainConfig]) -> None:
        config = options(**auto(corrupt="drop(0.5)", train="last-stage"))
        before = set_up(config)
        after = complete(before, config, make_fabric(config), None)
        assert after.completed is not None
        assert after.annotated_images == 20
        rough, done = before.train, after.train
        assert isinstance(rough, ExplanationDataset)
        assert isinstance(done, ExplanationDataset)
        for i, annotated in enumerate(rough.annotated):
            marks = done.marks(i)[0][1]
            torch.testing.assert_close(marks.float(), done.sample(i, mirrored=False).annotation)
            if annotated:
                assert (marks[rough.marks(i)[0][1] > 0] > 0).all(), "what was left of them stays"
            else:
                made = done.items[i].marks
                assert made is not None
                assert marks.sum() == made.render().sum() * (32 / made.render().shape[0]) ** 2

    @pytest.mark.filterwarnings("ignore::lookright.errors.LookrightWarning")  # its features are random
    def test_a_transformer(self, options: Callable[..., TrainConfig]) -> None:
        config = options(**auto(backbone="vit_tiny_patch16_224", image_size=64, epochs=1, train_per_class=2))
        assert set(train(config).facts()["completed"]) == {"images", "drawn", "auroc"}

    def test_a_number_to_predict(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        data = write_numbers(tmp_path / "data")
        facts = train(options(data=data, method="complete + hint", train="last-stage")).facts()
        assert set(facts["completed"]) == {"images", "drawn", "auroc"}

    def test_two_processes_train_on_what_one_found(
        self, options: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        common = auto(backbone="small_runs:plain", train="head", lr=0.01, epochs=1)
        one = train(options(out=tmp_path / "one", batch_size=8, **common))
        two = train(options(out=tmp_path / "two", batch_size=4, devices=2, **common))
        assert one.facts()["completed"] == two.facts()["completed"]
        assert_close_logs(one, two)


class TestRefused:
    """What cannot be completed is said before the run folder is made."""

    def test_several_labels(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        data = write_several_labels(tmp_path / "data")
        with pytest.raises(ConfigError, match="complete needs one annotation per image"):
            train(options(data=data, method="auto", score="logit"))
        assert not (tmp_path / "run").exists()

    def test_no_map_below(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        with pytest.raises(ConfigError, match="exchange and complete work on the maps below what learns"):
            train(options(**auto(backbone="test_completion:shallow")))
        assert not (tmp_path / "run").exists()

    def test_negative_marks_alone(
        self, digits: Path, tmp_path: Path, options: Callable[..., TrainConfig]
    ) -> None:
        data = tmp_path / "data"
        data.mkdir()
        for part in ("images", "negatives", "split.csv"):
            (data / part).symlink_to(digits / part)
        with pytest.raises(ConfigError, match="method: auto uses positive marks alone"):
            train(options(data=data, method="auto"))

    def test_features_that_are_not_finite(self, options: Callable[..., TrainConfig]) -> None:
        with pytest.raises(NonFiniteError, match=r"features at .* are not finite"):
            train(options(**auto(backbone="test_completion:broken")))

    def test_alone_it_does_nothing_and_says_so(self, options: Callable[..., TrainConfig]) -> None:
        with pytest.warns(LookrightWarning, match="complete alone trains like baseline"):
            set_up(options(method="complete"))
