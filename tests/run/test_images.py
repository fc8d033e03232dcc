"""Images: folders of classes, bytes of .npz files, and random changes of those that are trained on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gromo_graph import grow, load_run, resume
from gromo_graph.errors import RunError, SpecError
from gromo_graph.run.data.image_sets.augmentation import augmented
from gromo_graph.run.data.image_sets.images import read_images
from gromo_graph.run.data.samples import MappedPart, Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.spec import Spec, dump_spec, parse_spec
from gromo_graph.spec.data_sections import Augment, ImageData

_SECTION = ImageData(images="photos")


def _photos(folder: Path, each: int = 10, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Path:
    """Bright and dark images, 6 wide and 4 high."""
    random = np.random.RandomState(0)
    for name, low in (("bright", 120), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = random.randint(low, low + 130, (size[1], size[0], 3)).astype(np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number:02d}.png")
    return folder


def _spec(images: Path | str, channels: int = 3, options: str = "", epochs: int = 3) -> Spec:
    return parse_spec(
        f"""
name: photos
nodes:
  image: {{kind: input, shape: [{channels}, 4, 6]}}
  conv:  {{kind: conv2d, from: image, features: 2, kernel: 3, padding: same, activation: relu}}
  mean:  {{kind: adaptive_avg_pool2d, from: conv, size: 1}}
  flat:  {{kind: flatten, from: mean}}
  y:     {{kind: linear, from: flat, features: 2}}
output: y
data: {{images: {images}{options}}}
growth: {{stop: {{parameters: 200}}}}
train: {{epochs: {epochs}, batch_size: 4, optimizer: {{lr: 0.02}}}}
"""
    )


def test_folders_are_classes(tmp_path: Path) -> None:
    raw = read_images(_photos(tmp_path / "photos"), _SECTION)
    assert (raw.x.shape, raw.x.dtype) == ((20, 3, 4, 6), np.uint8)
    assert raw.y is not None
    assert raw.y.tolist() == ["bright"] * 10 + ["dark"] * 10
    first = np.asarray(Image.open(tmp_path / "photos/bright/00.png"))
    np.testing.assert_array_equal(raw.x[0], first.transpose(2, 0, 1))
    assert read_images(_photos(tmp_path / "grey", mode="L"), _SECTION).x.shape == (20, 1, 4, 6)


def test_a_size_resizes(tmp_path: Path) -> None:
    raw = read_images(_photos(tmp_path / "photos"), ImageData(images="photos", size=(8, 2)))
    assert raw.x.shape == (20, 3, 8, 2)


@pytest.mark.parametrize("shape", [(7, 5, 6), (7, 5, 6, 3), (7, 3, 5, 6), (7, 5, 6, 1)])
def test_bytes_of_a_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(7))
    raw = read_images(tmp_path / "a.npz", _SECTION)
    channels = 3 if 3 in shape else 1
    assert (raw.x.shape, raw.x.dtype) == ((7, channels, 5, 6), np.uint8)
    assert raw.x.sum() == x.sum()


def test_from_a_folder_to_predictions(tmp_path: Path) -> None:
    photos = _photos(tmp_path / "photos")
    spec = _spec(photos, options=", augment: {flip: true, crop: 1, erase: 0.3}", epochs=8)
    run = grow(spec, out=tmp_path / "run", device="cpu")
    again = load_run(tmp_path / "run")
    assert run.evaluate()["accuracy"] == 1.0
    assert run.preparation.classes == ("bright", "dark")
    assert again.evaluate() == run.evaluate()
    assert parse_spec(dump_spec(run.spec)) == run.spec
    assert len({*np.round(run.preparation.mean, 9)}) == 3  # one for each channel
    read = again.read(str(photos / "dark"), target=False)
    assert again.predict(read).tolist() == ["dark"] * 10
    every = again.predict(again.read(str(photos), target=False))
    assert every.tolist() == ["bright"] * 10 + ["dark"] * 10


def test_a_run_with_augmentation_goes_on_to_the_bit(tmp_path: Path) -> None:
    spec = _spec(
        _photos(tmp_path / "photos"), options=", augment: {flip: true, crop: 1, erase: 0.5, mixup: 0.2}"
    )

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    grow(spec, out=tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        grow(spec, out=tmp_path / "part", device="cpu", on_progress=stop)
    resume(tmp_path / "part")
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "part"))
    assert one == other


def test_workers_give_the_same_run_to_the_bit_also_resumed(tmp_path: Path) -> None:
    photos, options = _photos(tmp_path / "photos"), ", augment: {flip: true, crop: 1}"
    spec = _spec(photos, options=options, epochs=2)
    helped = parse_spec(dump_spec(spec).replace("workers: 0", "workers: 2"))
    assert helped.train.workers == 2

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    alone = grow(spec, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        grow(helped, out=tmp_path / "run", device="cpu", on_progress=stop)
    for name, weights in resume(tmp_path / "run").network.state_dict().items():
        assert torch.equal(weights, alone.network.state_dict()[name])


def test_images_stay_bytes_until_they_are_used(tmp_path: Path) -> None:
    run = grow(_spec(_photos(tmp_path / "photos"), epochs=1), device="cpu")
    assert run.data is not None
    assert isinstance(run.data.train, MappedPart)
    assert run.data.train.x.dtype == np.uint8


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    photos = _photos(tmp_path / "photos", each=3)
    (photos / "empty").mkdir()
    (photos / "dark/broken.png").write_bytes(b"no image")
    Image.new("RGB", (9, 9)).save(photos / "bright/large.png")
    with pytest.raises(RunError) as caught:
        grow(_spec(photos), out=tmp_path / "run")
    assert str(caught.value).splitlines() == [
        f"{photos}: these images cannot be used:",
        "  `empty`: there is no image in it",
        "  dark/broken.png cannot be read as images",
        "  images of 2 sizes, height × width: 4 × 6 (bright/00.png), 9 × 9 (bright/large.png): write "
        "`data.size: [height, width]` to have them resized",
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, "expected a folder with a folder for each class"),
        (lambda folder: folder.mkdir(), "there are no folders in it"),
        (lambda folder: (folder / "one").mkdir(parents=True), "`one` is the only class"),
    ],
)
def test_places_without_classes(tmp_path: Path, make: Any, told: str) -> None:
    make(tmp_path / "photos")
    with pytest.raises(RunError, match=told):
        read_images(tmp_path / "photos", _SECTION)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((3, 4, 6)), "y": np.arange(3)}, r"x is float64 .*expected uint8"),
        ({"x": np.zeros((3, 4), dtype=np.uint8), "y": np.arange(3)}, "of shape"),
        ({"x": np.zeros((3, 4, 6), dtype=np.uint8), "y": np.arange(2)}, "3 images in x but 2 targets"),
        ({"x": np.zeros((3, 4, 6), dtype=np.uint8)}, "the array y is missing"),
    ],
)
def test_files_without_images(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(RunError, match=told):
        read_images(tmp_path / "a.npz", _SECTION)
    (tmp_path / "b.npz").write_bytes(b"none")
    with pytest.raises(RunError, match=r"no \.npz file"):
        read_images(tmp_path / "b.npz", _SECTION)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (", augment: {flip: true, turn: true}", "unknown key `turn`"),
        (", augment: {erase: 2}", "at most 1"),
        (", size: [4]", "expected .height, width"),
        (", target: y", "unknown key: you wrote `target`"),
    ],
)
def test_sections_that_are_wrong(options: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        _spec("photos", options=options)
    with pytest.raises(SpecError, match="is an address"):
        _spec("http://example.org/photos")


_NO_TARGETS = torch.zeros(0)


def _drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_flips_mirror_half_of_the_images() -> None:
    x = torch.randn(400, 2, 3, 5)
    found, _ = augmented(x, _NO_TARGETS, Augment(flip=True), _drawn())
    mirrored = (found == x.flip(-1)).flatten(1).all(dim=1)
    same = (found == x).flatten(1).all(dim=1)
    assert bool((mirrored ^ same).all())
    assert 160 < int(mirrored.sum()) < 240


def test_crops_move_each_image_and_fill_with_the_mean() -> None:
    x = torch.randn(300, 2, 5, 6)
    found, _ = augmented(x, _NO_TARGETS, Augment(crop=2), _drawn())
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    places = [(top, left) for top in range(5) for left in range(5)]
    seen = set()
    for before, after in zip(padded, found, strict=True):
        own = [place for place in places if torch.equal(before[:, place[0] :, place[1] :][:, :5, :6], after)]
        assert len(own) == 1
        seen.add(own[0])
    assert len(seen) == len(places)


def test_a_share_of_the_images_loses_a_rectangle() -> None:
    x = torch.ones(1000, 2, 20, 30)
    found, _ = augmented(x, _NO_TARGETS, Augment(erase=0.3), _drawn())
    gone = found == 0
    touched = gone.flatten(1).any(dim=1)
    assert 250 < int(touched.sum()) < 350
    assert bool((gone[:, 0] == gone[:, 1]).all())
    share = gone[touched][:, 0].float().mean(dim=(1, 2))
    assert float(share.min()) > 0.01
    assert float(share.max()) < 0.25
    one = gone[touched][0, 0]
    rows, columns = one.any(dim=1), one.any(dim=0)
    assert bool((one == rows[:, None] & columns[None]).all())


@pytest.mark.parametrize("weighted", [False, True])
def test_mixup_mixes_two_images_and_draws_the_target_by_their_shares(weighted: bool) -> None:
    count = 4000
    labels = torch.arange(count)
    y = torch.stack([labels.double(), labels + 0.5], dim=1) if weighted else labels
    x = labels.double()[:, None, None, None].expand(count, 1, 2, 2)
    marks = torch.stack([torch.ones(count).double(), labels.double()], dim=1)[:, :, None, None]
    mixed, target = augmented(marks, y, Augment(mixup=0.4), _drawn())
    assert torch.equal(mixed[:, 0].unique(), torch.ones(1).double())  # the shares add up to 1
    found = target[:, 0].long() if weighted else target
    if weighted:
        assert torch.equal(target[:, 1], target[:, 0] + 0.5)
    again, _ = augmented(x, labels, Augment(mixup=0.4), _drawn())
    assert torch.equal(again[:, 0, 0, 0], mixed[:, 1, 0, 0])
    kept = found == labels
    assert 0.45 < float(kept.float().mean()) < 0.55
    # Beta(0.4, 0.4) draws many shares near 0 and 1: an image that keeps its target is mostly itself.
    near = (mixed[:, 1, 0, 0] - labels).abs() / count
    assert float(near[kept].mean()) < 0.5 * float(near[~kept].mean())


def test_changes_follow_from_seed_and_epoch() -> None:
    part = Part(torch.randn(20, 1, 4, 4), torch.arange(20))
    loader = TensorLoader(part, 8, seed=1, augment=Augment(flip=True, crop=1))

    def images(epoch: int) -> torch.Tensor:
        loader.set_epoch(epoch)
        return torch.cat([x for x, _ in loader])

    first, second = images(0), images(1)
    assert not torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)
    assert torch.equal(images(0), first)
    plain = TensorLoader(part, 8, seed=1)
    changed = TensorLoader(part, 8, seed=1, augment=Augment(erase=1.0))
    assert [y.tolist() for _, y in plain] == [y.tolist() for _, y in changed]


class _VisionDataset:
    """Stands for torchvision's base class."""


class _Toy(_VisionDataset):
    """Bright and dark images, 16 for training and 4 for the test."""

    classes = ("bright", "dark")

    def __init__(self, root: str, train: bool = True) -> None:
        self.size = 16 if train else 4

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return Image.new("RGB", (6, 4), (200 - 150 * (place % 2) + place,) * 3), place % 2


class _Captions(_VisionDataset):
    def __init__(self, root: str, annFile: str) -> None:  # noqa: N803 - as torchvision names it
        raise AssertionError


class _Missing(_VisionDataset):
    def __init__(self, root: str, split: str) -> None:
        raise RuntimeError("Dataset not found or corrupted.")


def test_a_data_set_of_torchvision_has_its_own_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = SimpleNamespace(VisionDataset=_VisionDataset, Toy=_Toy, Missing=_Missing, Captions=_Captions)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=sets))
    run = grow(_spec("torchvision:Toy", epochs=4), out=tmp_path / "run", device="cpu")
    assert run.data is not None
    assert [len(part) for part in run.data.parts.values()] == [12, 4, 4]
    assert run.preparation.classes == ("bright", "dark")
    again = load_run(tmp_path / "run")
    assert again.measure() == run.measure()
    assert resume(tmp_path / "run").summary == run.summary
    with pytest.raises(RunError, match=r"torchvision has no such data set: did you mean `Toy`\?"):
        grow(_spec("torchvision:Toys"), device="cpu")
    with pytest.raises(
        RunError, match=r"Dataset not found or corrupted.; download it once, in Python: torchvision"
    ):
        grow(_spec("torchvision:Missing"), device="cpu")
    with pytest.raises(
        RunError, match=r"it needs `annFile`: expected a data set of images with a class each"
    ):
        grow(_spec("torchvision:Captions"), device="cpu")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RunError, match="torchvision is missing: pip install torchvision"):
        grow(_spec("torchvision:Toy"), device="cpu")
