"""Files of models: whole or not at all, and refused where they are damaged."""

import io
import os
import pickle
import re
import stat
import sys
import zipfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import reliability
import skops
import skops.io
from helpers import small
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skreg.io
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg.io import check_writable, printable, write_whole

network = partial(small, hidden_layer_sizes=(3, 2), max_iter=2)


posix = pytest.mark.skipif(
    os.name != "posix", reason="needs pipes, links, permissions or limits of POSIX"
)

OURS = [
    "skreg.RegularizedMLPClassifier",
    "skreg.RegularizedMLPEnsemble",
    "skreg.RegularizedMLPClassifierCV",
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def model():
    return make_pipeline(StandardScaler(), network()).fit(X, y)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The bytes of a file."""
    path = tmp_path_factory.mktemp("saved") / "m.skops"
    skreg.io.dump(model, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def script():
    """The script that counts what becomes of damaged files."""
    pytest.importorskip("resource", reason="the script needs limits and fork")
    return reliability.load("files")


# There and back ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        network(keep_prob=0.8, warm_start=True),
        RegularizedMLPEnsemble(network(), 2),
        RegularizedMLPClassifierCV(
            [1.0], [1.0], cv=2, max_iter=2, learning_rate="cosine", early_stopping=False
        ),
        make_pipeline(StandardScaler(), network()),
    ],
    ids=["network", "ensemble", "search", "pipeline"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_what_comes_back_is_the_model(model, kind, tmp_path):
    path = tmp_path / "m.skops"
    skreg.io.dump(model.fit(X, y), kind(path))
    expected = model.predict_proba(X)
    loaded = skreg.io.load(kind(path))
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    # skops reads it without us.
    assert set(skops.io.get_untrusted_types(file=path)) <= set(OURS)
    loaded = skops.io.load(path, trusted=OURS)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert zipfile.ZipFile(path).comment.startswith(b"skreg sha256 ")
    assert os.listdir(tmp_path) == ["m.skops"]


def test_a_loaded_model_takes_the_next_part(tmp_path):
    path = tmp_path / "m.skops"
    model = network(keep_prob=0.8, random_state=None).partial_fit(X, y, classes=[0, 1])
    skreg.io.dump(model, path)
    loaded = skreg.io.load(path).partial_fit(X, y)
    expected = model.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.coefs_[0], expected.coefs_[0])


class Own:
    """A type that skops does not know."""

    def __eq__(self, other):
        return type(other) is Own

    __hash__ = None


@pytest.mark.parametrize("name", [f"{__name__}.Own", Own])
def test_a_type_has_to_be_trusted(name, tmp_path):
    path = tmp_path / "m.skops"
    skreg.io.dump(FunctionTransformer(kw_args={"own": Own()}), path)
    with pytest.raises(TypeError, match="not trusted") as error:
        skreg.io.load(path)
    assert f"pass trusted=['{__name__}.Own']" in str(error.value)
    assert repr(str(path)) in str(error.value)
    for trusted in ([name], (name,), iter([name])):
        loaded = skreg.io.load(path, trusted=trusted)
        assert loaded.kw_args == {"own": Own()}
    with pytest.raises(TypeError, match=r"trusted=.* must be a list of types"):
        skreg.io.load(path, trusted=name)


@pytest.mark.parametrize("trusted", [None, True, [1], [["a"]], [np.linalg.norm]])
def test_what_is_trusted_has_to_be_names_or_types(trusted, tmp_path, saved):
    path = tmp_path / "m.skops"
    path.write_bytes(saved)
    with pytest.raises(TypeError, match=r"trusted=.* must be a list of types"):
        skreg.io.load(path, trusted=trusted)


def test_a_lack_of_memory_while_saving_is_not_the_models_fault(
    tmp_path, model, monkeypatch
):
    def fail(_):
        raise MemoryError

    monkeypatch.setattr(skops.io, "dumps", fail)
    with pytest.raises(MemoryError):
        skreg.io.dump(model, tmp_path / "m.skops")


def test_what_skops_cannot_save_leaves_the_old_file(tmp_path, saved):
    path = tmp_path / "m.skops"
    path.write_bytes(saved)
    model = FunctionTransformer(kw_args={"each": (i for i in range(3))})
    with pytest.raises(TypeError, match="skops cannot save this FunctionTransformer: "):
        skreg.io.dump(model, path)
    assert path.read_bytes() == saved


@pytest.mark.parametrize(
    "keys", [(False, True), (np.False_, np.True_), (1, "1"), (True,)]
)
def test_keys_that_would_not_come_back_are_refused(keys, tmp_path):
    """skops gives True for each key that is a bool: weights of the wrong class."""
    path = tmp_path / "m.skops"
    for model in (
        network(class_weight=dict.fromkeys(keys, 2.0)),
        make_pipeline(network(class_weight=[{0: 1.0}, dict.fromkeys(keys, 2.0)])),
    ):
        with pytest.raises(ValueError, match=r"cannot save a dict with the keys "):
            skreg.io.dump(model, path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keys", [(0, 1), ("False", "True"), (0.5, np.inf)])
def test_other_keys_come_back(keys, tmp_path):
    path = tmp_path / "m.skops"
    weights = dict(zip(keys, (2.0, 3.0), strict=True))
    skreg.io.dump(network(class_weight=weights), path)
    assert skreg.io.load(path).class_weight == weights


def test_what_is_in_several_places_is_written_once(tmp_path):
    inner = StandardScaler().fit([[0.0], [2.0]])
    outer = FunctionTransformer(kw_args={"of": inner})
    model = Pipeline([("a", outer), ("b", inner), ("c", outer)])
    path = tmp_path / "model.skops"
    skreg.io.dump(model, path)
    with zipfile.ZipFile(path) as file:
        assert file.read("schema.json").count(b"with_mean") == 1
    for load in skreg.io.load, skops.io.load:
        a, b, c = (step for _, step in load(path).steps)
        assert a is c
        assert a.kw_args["of"] is b
        assert b.transform([[3.0]]) == 2


def test_a_model_of_a_later_format_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "m.skops"
    with monkeypatch.context() as later:
        later.setattr("skreg._models.versions.FORMAT", 2)
        later.setattr("skreg._models.versions.__version__", "99.1")
        skreg.io.dump(network().fit(X, y), path)
    with pytest.raises(ValueError, match=r"Upgrade skreg to 99\.1 or newer"):
        skreg.io.load(path)


def test_without_skops(tmp_path, monkeypatch, model):
    path = tmp_path / "m.skops"
    monkeypatch.setattr(skops, "__version__", "0.15.1")
    for call in (lambda: skreg.io.dump(model, path), lambda: skreg.io.load(path)):
        with pytest.raises(ImportError, match=r"needs skops 0\.16 or newer, and 0\.15"):
            call()
    monkeypatch.setitem(sys.modules, "skops", None)
    for call in (lambda: skreg.io.dump(model, path), lambda: skreg.io.load(path)):
        with pytest.raises(ImportError, match=r'pip install "skreg\[persistence\]"'):
            call()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("version", ["0.16.0", "0.17.dev0", "1.0rc1"])
def test_versions_of_skops(version, monkeypatch):
    monkeypatch.setattr(skops, "__version__", version)
    assert skreg.io.import_skops() is skops.io


# Damaged files -----------------------------------------------------------------------


def refused(path, *words):
    """Assert one error of the right class that names the file; return it."""
    with pytest.raises(ValueError, match=re.escape(repr(str(path)))) as error:
        skreg.io.load(path)
    assert type(error.value) is ValueError
    for word in words:
        assert word in str(error.value)
    return error.value


def test_a_file_that_is_not_ours(tmp_path, model):
    path = tmp_path / "m.skops"
    path.write_bytes(b"")
    refused(path, "is empty", "save the model again with skreg.io.dump")
    for data in (b"x", b"\x89PNG\r\n" * 99, pickle.dumps(model), b"PK\x03\x04"):
        path.write_bytes(data)
        refused(path, "no whole file of skreg.io.dump", "Copy the file anew")
    joblib.dump(model, path, compress=3)
    refused(path, "no whole file of skreg.io.dump")
    skops.io.dump(model, path)
    refused(path, "no checksum of skreg", "is for skops.io.load")


@posix
def test_what_is_no_file(tmp_path):
    refused(tmp_path, "is not a file")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is not a file")
    refused(Path("/dev/zero"), "is not a file")
    with pytest.raises(FileNotFoundError, match="nothing here"):
        skreg.io.load(tmp_path / "nothing here")


def test_messages_hold_no_control_characters(tmp_path, saved):
    path = tmp_path / "\x1b[2J.skops"
    path.write_bytes(saved[:-1])
    assert str(refused(path)).isprintable()


def test_a_changed_byte_is_found(tmp_path, saved):
    path = tmp_path / "m.skops"
    for at in (0, 100, len(saved) // 2, len(saved) - 80, len(saved) - 64, -1):
        data = bytearray(saved)
        data[at] ^= 1
        path.write_bytes(data)
        refused(path)
    # The digest in capitals means the same, and yet is not what was written.
    path.write_bytes(saved[:-64] + saved[-64:].upper())
    refused(path, "do not agree with its checksum")


def test_every_kind_of_damage_is_found(tmp_path, saved, script):
    path = tmp_path / "m.skops"
    skreg.io.dump(network(lambd=2.0).fit(X, y), path)
    other = path.read_bytes()
    cases = list(script.damaged(saved, other, 400))
    assert saved not in cases
    for data in cases:
        path.write_bytes(data)
        refused(path)


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path, saved, step):
    path = tmp_path / "m.skops"
    path.write_bytes(saved)
    for size in range(len(saved) - 1, -1, -step):
        os.truncate(path, size)
        refused(path)


def test_the_scripts_damage_is_damage(script):
    data = bytes(range(256)) * 4
    for kind in script.DAMAGE:
        rng = script.random.Random(0)
        made = [kind(data, rng) for _ in range(50)]
        assert sum(each != data for each in made) > 45
        sizes = {len(each) for each in made}
        if kind in (script.flip_bit, script.set_byte):
            pairs = [zip(each, data, strict=True) for each in made]
            assert all(sum(a != b for a, b in pair) == 1 for pair in pairs)
        elif kind in (script.zero, script.swap):
            assert sizes == {len(data)}
        elif kind is script.insert:
            assert min(sizes) > len(data)
        else:
            assert max(sizes) < len(data)
    swapped = script.swap(data, script.random.Random(1))
    assert sorted(swapped) == sorted(data)


def test_the_script_tells_what_came_of_a_file(script):
    """Not of ours: pickles, which are loaded whatever became of them."""
    found = script.fuzz("pickle", RegularizedMLPClassifier, 200)
    assert sum(found.values()) == 200
    assert found["WRONG"] > 0
    assert found["error"] > found["WRONG"]

    def judge(case):
        if case == "crash":
            os.kill(os.getpid(), 11)
        if case == "hang":
            while True:
                pass
        return case

    cases = [1, "crash", 0, "hang", 2]
    assert list(script.in_children(judge, cases)) == cases


# Archives that were made to harm are in test_security.py.


# Whole or not at all -----------------------------------------------------------------


@posix
def test_nothing_but_a_file_is_replaced(tmp_path, model):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "folder", "link", "missing/m.skops"):
        with pytest.raises(ValueError, match=f"cannot write .*{name}"):
            skreg.io.dump(model, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
def test_a_link_is_followed_before_it_is_found_writable(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "missing" / "m")
    with pytest.raises(ValueError, match=r"link: there is no folder .*missing"):
        check_writable(tmp_path / "link")


@posix
def test_links_in_a_circle_are_replaced(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    try:
        check_writable(tmp_path / "a")
        write_whole(tmp_path / "a", lambda file: file.write(b"new"))
    except (ValueError, OSError):
        assert (tmp_path / "a").is_symlink()
    else:
        assert (tmp_path / "a").read_bytes() == b"new"


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "m", lambda file: file.write(b"new"))
    finally:
        os.umask(before)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o666 & ~mask


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(mode)

    def write(file):
        # While it is written it is not open to others.
        assert os.fstat(file.fileno()).st_mode & 0o777 & ~mode == 0
        file.write(b"new")

    write_whole(path, write)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode


@posix
def test_the_order_of_flushing_and_renaming(tmp_path, monkeypatch):
    path, order = tmp_path / "m", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(number):
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        size = None if is_folder else os.fstat(number).st_size
        order.append(("folder" if is_folder else "file", size))
        fsync(number)

    def noted_replace(source, target):
        order.append(("replace", Path(source).parent == Path(target).parent))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_whole(path, lambda file: file.write(b"12345"))
    assert order == [("file", 5), ("replace", True), ("folder", None)]


@posix
def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError("Invalid argument")
        fsync(number)

    monkeypatch.setattr(os, "fsync", refuse)
    write_whole(tmp_path / "m", lambda file: file.write(b"new"))
    assert (tmp_path / "m").read_bytes() == b"new"


@posix
def test_on_a_full_disk_the_old_file_stays(tmp_path, model, saved):
    """The system's own error, half-way through the file."""
    import resource

    path = tmp_path / "m.skops"
    path.write_bytes(saved)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(saved) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            skreg.io.dump(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == saved
    assert os.listdir(tmp_path) == ["m.skops"]


def test_a_killed_process_leaves_the_old_file_or_the_new_one(script):
    found = script.kill("skreg.io", RegularizedMLPClassifier, 8, units=40)
    assert found["whole"] == 8
    assert found["BROKEN"] == 0
    # The test can fail: without the other name half a file is left.
    assert script.kill("joblib", RegularizedMLPClassifier, 4, units=40)["BROKEN"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["skreg.io", "joblib xz whole", "joblib", "skops"])
def test_a_full_disk_by_the_script(script, way):
    found = script.full(way, RegularizedMLPClassifier, units=40)
    assert found["OSError"] == 1
    assert found["temporary file left"] == 0
    if way in ("skreg.io", "joblib xz whole"):
        assert found["whole"] >= 1
        assert found["BROKEN"] == 0
    else:
        assert found["BROKEN"] >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("müsli 東京.csv", "müsli 東京.csv"),
        ("a\x1b[31mb\n\x7f\x9b", "a\\x1b[31mb\\n\\x7f\\x9b"),
        ("\u202ecod.exe", "\\u202ecod.exe"),
        (os.fsdecode(b"\xff"), "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected
    assert printable(text).isprintable()


def test_the_archive_can_be_read_by_any_tool(saved):
    with zipfile.ZipFile(io.BytesIO(saved)) as file:
        assert file.testzip() is None
        assert "schema.json" in file.namelist()
