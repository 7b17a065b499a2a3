"""mnist.py: IDX files come back as written, broken ones are named in one line, pixels are binarised fairly."""

import gzip
import struct

import numpy as np
import pytest
import torch
from digit_files import NAMES, idx_bytes, strokes, write_idx, write_mnist

from learning import mnist

pytestmark = pytest.mark.usefixtures("one_thread")


def refusal(path, kind=ValueError, read=mnist.read_idx):
    """The text of the error at reading a file, after a look that it is one clear line."""
    with pytest.raises(kind) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400, text
    return text


# IDX files.

@pytest.mark.parametrize("name", ["numbers", "numbers.gz"])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (4, 3, 2), (0, 28, 28), (0,)])
def test_what_was_written_is_read(tmp_path, name, shape):
    numbers = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_idx(tmp_path / name, numbers)
    found = mnist.read_idx(str(tmp_path / name))
    assert found.dtype == np.uint8 and found.shape == shape and np.array_equal(found, numbers)
    assert found.flags.writeable, "or torch warns of it"


@pytest.mark.parametrize("name", ["numbers", "numbers.gz"])
def test_a_file_cut_short_anywhere_is_one_line_that_names_it(tmp_path, name):
    path = tmp_path / name
    write_idx(path, np.arange(24).reshape(2, 3, 4))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert refusal(path).startswith(f"{path}: "), size


def test_a_byte_changed_anywhere_in_a_gzipped_file_is_no_other_error_than_one_line(tmp_path):
    path, numbers = tmp_path / "numbers.gz", np.arange(24).reshape(2, 3, 4)
    write_idx(path, numbers)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        for change in (1, 128, 255):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1:])
            try:
                assert np.array_equal(mnist.read_idx(path), numbers), "a wrong number was read"
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused > 2 * len(whole), "of a gzip file only its head has bytes that are of no account"


NUMBERS = np.arange(6, dtype=np.uint8).reshape(2, 3)
BROKEN = {
    "nothing": (b"", "expected an IDX file of bytes, found one that is empty"),
    "nothing, gzipped": (gzip.compress(b""), "expected an IDX file of bytes, found one that is empty"),
    "text": (b"<html>no such file</html>", "expected an IDX file of bytes, found one that begins with 3c 68 74 6d"),
    "a wrong beginning": (b"\x00\x01" + idx_bytes(NUMBERS)[2:], "expected an IDX file of bytes"),
    "floats": (idx_bytes(NUMBERS, kind=0x0D), "expected an IDX file of bytes, found one that begins with 00 00 0d 02"),
    "no dimension": (b"\x00\x00\x08\x00", "expected an IDX file of bytes"),
    "nine dimensions": (b"\x00\x00\x08\x09" + bytes(100), "expected an IDX file of bytes"),
    "a head without its shape": (b"\x00\x00\x08\x03\x00\x00\x00\x01", "expected an IDX file of bytes"),
    "a number too few": (idx_bytes(NUMBERS)[:-1], r"expected 6 numbers for its shape \(2, 3\), found 5"),
    "a number too many": (idx_bytes(NUMBERS) + b"\x00", r"expected 6 numbers for its shape \(2, 3\), found 7"),
    "a huge shape": (struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**32 - 1] * 3), r"expected \d{29} numbers"),
    "half a gzip": (gzip.compress(idx_bytes(NUMBERS))[:-12], "damaged, or cut short"),
    "a gzip with a wrong checksum": (gzip.compress(idx_bytes(NUMBERS))[:-8] + bytes(8), "damaged, or cut short"),
    "a gzip of rubbish": (b"\x1f\x8b\x08\x00" + bytes(range(1, 60)), "damaged, or cut short"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_file_says_what_was_expected_and_found(tmp_path, kind, packed):
    content, words = BROKEN[kind]
    (tmp_path / "digits").write_bytes(gzip.compress(content) if packed and "gzip" not in kind else content)
    pytest.raises(ValueError, mnist.read_idx, tmp_path / "digits").match(f"/digits: {words}")
    refusal(tmp_path / "digits")


# The four files.

@pytest.fixture
def folder(tmp_path):
    return write_mnist(tmp_path / "mnist", train=60, test=12)


def load(folder):
    return mnist.load_digits(folder)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_splits_are_the_files_in_their_order_whatever_the_mirrors_names(tmp_path, ending, mirror):
    write_mnist(tmp_path, train=60, test=12, ending=ending)
    if mirror:
        for name in NAMES:
            (tmp_path / (name + ending)).rename(tmp_path / (name.replace("-idx", ".idx") + ending))
    splits = load(str(tmp_path))
    (pixels, classes), (test_pixels, test_classes) = strokes(60), strokes(12, seed=1)
    assert list(splits) == ["train", "validation", "test"]
    for split, expected in (("train", (pixels[:54], classes[:54])), ("validation", (pixels[54:], classes[54:])),
                            ("test", (test_pixels, test_classes))):
        assert all(np.array_equal(found, want) for found, want in zip(splits[split], expected)), split


@pytest.mark.parametrize("count, aside", [(10, 1), (19, 1), (60, 6), (9_990, 999), (10_000, 1000), (12_000, 1000)])
def test_a_tenth_is_for_validation_and_at_most_a_thousand(tmp_path, count, aside):
    write_mnist(tmp_path, train=10, test=1)
    write_idx(tmp_path / f"{NAMES[0]}.gz", np.zeros((count, 28, 28)))
    write_idx(tmp_path / f"{NAMES[1]}.gz", np.arange(count) % 10)
    splits = load(tmp_path)
    assert [len(splits[split][0]) for split in splits] == [count - aside, aside, 1]
    assert splits["validation"][1].tolist() == [i % 10 for i in range(count - aside, count)]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / f"{name}.gz").unlink()
    text = refusal(folder, FileNotFoundError, load)
    assert text.startswith(f"{folder / name}.gz: no such file")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_damaged_is_named(folder, name):
    path = folder / f"{name}.gz"
    path.write_bytes(path.read_bytes()[:-5])
    assert refusal(folder, ValueError, load).startswith(f"{path}: damaged, or cut short")


@pytest.mark.parametrize("name, numbers, words", [
    (NAMES[0], np.zeros((60, 28, 27)), "expected images of 28 x 28 pixels, found shape (60, 28, 27)"),
    (NAMES[2], np.zeros((12, 784)), "expected images of 28 x 28 pixels, found shape (12, 784)"),
    (NAMES[0], np.zeros(60), "expected images of 28 x 28 pixels, found shape (60,)"),
    (NAMES[1], np.zeros(59), "expected a class for each of 60 digits, found (59,)"),
    (NAMES[3], np.zeros((12, 1)), "expected a class for each of 12 digits, found (12, 1)"),
    (NAMES[1], np.full(60, 10), "expected classes 0 to 9, found 10"),
    (NAMES[3], np.arange(12) + 244, "expected classes 0 to 9, found 255"),
])
def test_files_that_do_not_fit_are_named_with_what_was_found(folder, name, numbers, words):
    write_idx(folder / f"{name}.gz", numbers)
    assert refusal(folder, ValueError, load) == f"{folder / name}.gz: {words}"


@pytest.mark.parametrize("train, test", [(0, 5), (9, 5), (60, 0)])
def test_too_few_digits_are_refused(tmp_path, train, test):
    write_mnist(tmp_path, train, test)
    text = refusal(tmp_path, ValueError, load)
    assert text == f"{tmp_path}: expected at least 10 digits to train and one to test, found {train} and {test}"


def test_a_folder_that_is_none_or_has_folders_in_the_files_place_is_one_line(folder, tmp_path):
    assert str(tmp_path / "none") in refusal(tmp_path / "none", FileNotFoundError, load)
    (folder / f"{NAMES[0]}.gz").unlink()
    (folder / f"{NAMES[0]}.gz").mkdir()
    refusal(folder, OSError, load)


def test_without_a_folder_the_digits_are_those_that_the_environment_names(folder, tmp_path, monkeypatch):
    import download
    monkeypatch.setattr(download, "DATA", tmp_path / "none")
    monkeypatch.setenv("SEQUENCEUR_DATA", str(folder.parent))
    assert np.array_equal(mnist.load_digits()["train"][0], strokes(60)[0][:54])


def test_mnist_itself_has_its_published_digits(shared_data):
    """The counts of each class are those of the data set's own description; the first five digits well known."""
    if not (shared_data / "mnist").is_dir():
        pytest.skip("needs MNIST: its four files in the folder mnist of the real data")
    splits = load(shared_data / "mnist")
    assert {split: pixels.shape for split, (pixels, _) in splits.items()} == {
        "train": (59_000, 28, 28), "validation": (1000, 28, 28), "test": (10_000, 28, 28)}
    counts = {split: np.bincount(classes, minlength=10) for split, (_, classes) in splits.items()}
    assert counts["test"].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (counts["train"] + counts["validation"]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts["validation"].min() > 70, "the digits put aside are of all classes"
    assert splits["train"][1][:5].tolist() == [5, 0, 4, 1, 9] and splits["test"][1][:5].tolist() == [7, 2, 1, 0, 4]
    pixels = splits["train"][0]
    assert pixels.max() == 255 and pixels.mean() == pytest.approx(33.3, abs=0.1)
    assert 0.18 < (pixels > 0).mean() < 0.20, "ink is on a fifth of the pixels"


# Pixels as 0 or 1.

def test_a_pixel_is_drawn_as_1_as_often_as_it_is_white():
    count = 8000
    pixels = torch.arange(256, dtype=torch.uint8).expand(count, 256)
    drawn = mnist.binarised(pixels, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.uint8 and drawn.shape == pixels.shape and drawn.max() == 1
    probability = torch.arange(256) / 255
    found = drawn.double().mean(0)
    assert found[0] == 0 and found[255] == 1
    deviation = (found - probability)[1:-1] / (probability * (1 - probability) / count).sqrt()[1:-1]
    assert deviation.abs().max() < 4.5
    assert 0.8 < deviation.std() < 1.2, "each pixel is drawn by itself"
    assert deviation.mean().abs() < 0.3, "none is favoured"


def test_the_generator_alone_decides_the_draw():
    pixels = torch.as_tensor(strokes(20)[0])
    before = torch.get_rng_state()
    first, again, other = (mnist.binarised(pixels, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    assert not torch.equal(mnist.binarised(pixels, generator), mnist.binarised(pixels, generator)), "each draw is new"
