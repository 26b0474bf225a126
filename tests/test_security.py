"""Files that were made to harm, and what skreg never does: network, shell, eval."""

import ast
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from hashlib import sha256
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import skops.io
from matplotlib import font_manager
from scipy import sparse
from sklearn.preprocessing import StandardScaler

import skreg.io
from skreg import RegularizedMLPClassifier

PACKAGE = Path(skreg.__file__).resolve().parent
SCHEMA = "schema.json"
OURS = ("skreg", "RegularizedMLPClassifier")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 2))
y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def model():
    small = {"learning_rate": "cosine", "early_stopping": False, "random_state": 0}
    return RegularizedMLPClassifier((3, 2), max_iter=2, **small).fit(X, y)


# Files with a right checksum that were made to harm ----------------------------------


def sealed(archive):
    """A zip archive with the checksum that skreg.io writes, as anybody can."""
    with zipfile.ZipFile(archive, "a") as file:
        file.comment = b"skreg sha256 " + b"0" * 64
    return sealed_again(archive.getvalue())


def sealed_again(data):
    return data[:-64] + sha256(data[:-64]).hexdigest().encode()


def archive_of(schema, entries=(), **options):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", **options) as file:
        for name, content in dict(entries).items():
            file.writestr(name, content)
        file.writestr(SCHEMA, schema if isinstance(schema, str) else json.dumps(schema))
    return sealed(archive)


def node(loader, module, cls, **rest):
    return {"__loader__": loader, "__module__": module, "__class__": cls, **rest}


def value(content):
    return node(
        "JsonNode", "builtins", type(content).__name__, content=json.dumps(content)
    )


def sequence(kind, *nodes):
    return node(f"{kind.title()}Node", "builtins", kind, content=list(nodes))


def mapping(**nodes):
    types = [node("TypeNode", "builtins", "str") for _ in nodes]
    return node(
        "DictNode", "builtins", "dict",
        key_types=sequence("list", *types), content=nodes,
    )  # fmt: skip


def top(root, protocol=2):
    return {**root, "protocol": protocol, "_skops_version": skops.__version__}


SCALER = node("ObjectNode", "sklearn.preprocessing._data", "StandardScaler")
SYSTEM = node("FunctionNode", "posix", "system")
COMMAND = "touch payload"
CALL = node("OperatorFuncNode", "operator", "call", attrs=sequence(
    "tuple", SYSTEM, value(COMMAND)
))  # fmt: skip


def method(obj, name, module=OURS[0], cls=OURS[1]):
    return node("MethodNode", module, cls, content={"obj": obj, "func": name})


def generator(name):
    """A random generator that names another function of numpy.random."""
    archive = io.BytesIO(skops.io.dumps(np.random.default_rng(0)))
    schema = zipfile.ZipFile(archive).read(SCHEMA).decode()
    assert schema.count('\\"PCG64\\"') == 1
    return json.loads(schema.replace('\\"PCG64\\"', f'\\"{name}\\"'))


def parameter(of):
    """A classifier of ours with something else for a parameter."""
    return node("ObjectNode", *OURS, content=mapping(lambd=of))


ATTACKS = {
    "a function": SYSTEM,
    "a function, of an old protocol": node(
        "FunctionNode", "posix", "system",
        content={"module_path": "posix", "function": "system"},
    ),
    "a call": CALL,
    "a call for a parameter": parameter(CALL),
    "a foreign class": node(
        "ConstructorFromReduceNode", "subprocess", "Popen",
        content=sequence("tuple", value(["touch", "payload"])),
    ),
    "a foreign class for a parameter": parameter(node("TypeNode", "os", "_wrap_close")),
    "a foreign object": node("ObjectNode", "subprocess", "Popen", content=mapping()),
    "partial": node(
        "PartialNode", "functools", "partial",
        content={
            "func": SYSTEM,
            "args": sequence("tuple", value(COMMAND)),
            "kwds": mapping(),
            "namespace": mapping(),
        },
    ),
    "a call under our name": node(
        "OperatorFuncNode", *OURS, attrs=sequence("tuple", value(1))
    ),
    "a method under our name": method(SCALER, "__class__"),
    "globals under our name": method(method(SCALER, "__init__"), "__globals__"),
    "a method of scikit-learn": method(
        SCALER, "fit", "sklearn.preprocessing._data", "StandardScaler"
    ),
    "an array of a foreign type": node(
        "NdArrayNode", "builtins", "eval", type="numpy", file="a.npy"
    ),
    "a random state of a foreign type": node(
        "RandomStateNode", "os", "getcwd", content=mapping()
    ),
    "a random generator": generator("seed"),
    "a tree": node(
        "TreeNode", "sklearn.tree._tree", "Tree",
        __reduce__={"args": sequence("tuple")}, content=mapping(),
    ),
    "a tree under our name": node(
        "TreeNode", *OURS, __reduce__={"args": sequence("tuple")}, content=mapping()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_does_not_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def called(*args, **kwargs):
        Path("payload").touch()

    monkeypatch.setattr(np.random, "seed", called)
    for protocol in (0, 1, 2):
        Path("m.skops").write_bytes(
            archive_of(top(ATTACKS[name], protocol), {"a.npy": b""})
        )
        with pytest.raises((TypeError, ValueError), match=r"m\.skops") as error:
            skreg.io.load("m.skops")
        assert type(error.value) in (TypeError, ValueError)
        assert os.listdir() == ["m.skops"]


def test_the_attack_would_run_where_it_is_trusted(tmp_path, monkeypatch):
    """So that the tests above would see it."""
    monkeypatch.chdir(tmp_path)
    Path("m.skops").write_bytes(archive_of(top(CALL)))
    with pytest.raises(TypeError, match=r"'operator\.call', 'posix\.system'"):
        skreg.io.load("m.skops")
    assert os.listdir() == ["m.skops"]
    skreg.io.load("m.skops", trusted=["operator.call", "posix.system"])
    assert sorted(os.listdir()) == ["m.skops", "payload"]


def test_a_pickle_and_a_pickle_inside(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)

    class Payload:
        def __reduce__(self):
            return os.system, (COMMAND,)

    Path("m.skops").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match="no whole file"):
        skreg.io.load("m.skops")
    array = io.BytesIO()
    np.save(array, np.array([Payload()], dtype=object), allow_pickle=True)
    root = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="a.npy")
    for schema in (top(root), top(parameter(root))):
        data = archive_of(schema, {"a.npy": array.getvalue()})
        Path("m.skops").write_bytes(data)
        with pytest.raises(ValueError, match="allow_pickle=False"):
            skreg.io.load("m.skops")
    assert os.listdir() == ["m.skops"]
    # It would run.
    np.load(io.BytesIO(array.getvalue()), allow_pickle=True)
    assert sorted(os.listdir()) == ["m.skops", "payload"]


def test_a_sparse_matrix_comes_back_where_it_is_trusted(tmp_path):
    matrix = sparse.csr_array(np.eye(50))
    skreg.io.dump({"a": matrix}, tmp_path / "m.skops")
    with pytest.raises(TypeError, match=r"'scipy\.sparse\._csr\.csr_array'"):
        skreg.io.load(tmp_path / "m.skops")
    loaded = skreg.io.load(tmp_path / "m.skops", trusted=[sparse.csr_array])
    assert (loaded["a"] != matrix).nnz == 0


def test_nothing_is_written_where_an_archive_says(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    names = ["../evil", "../../evil", str(tmp_path / "evil"), "..\\evil", "evil/"]
    data = archive_of(top(SCALER), dict.fromkeys(names, b"evil"))
    Path("m.skops").write_bytes(data)
    assert isinstance(skreg.io.load("m.skops"), StandardScaler)
    found = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*"))
    assert found == ["a", "a/b", "a/b/m.skops"]


def refused(path, data, match):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=match) as error:
        skreg.io.load(path)
    assert type(error.value) is ValueError
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1500 + len(str(path))


def numpy_header(shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape},)}}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def test_files_that_would_fill_the_memory(tmp_path, model):
    path = tmp_path / "m.skops"
    # Ten megabytes of zeros take ten kilobytes, and are not unpacked.
    data = archive_of(
        top(SCALER), {"zeros": bytes(10**7)}, compression=zipfile.ZIP_DEFLATED
    )
    assert len(data) < 20_000
    tracemalloc.start()
    refused(path, data, "more than its own size")
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    # Nothing packed is, even if it would be small: its size is only what it says.
    data = archive_of(top(SCALER), compression=zipfile.ZIP_DEFLATED)
    assert len(data) > len(json.dumps(top(SCALER)))
    refused(path, data, "more than its own size")
    # The size of an entry in the directory: 4 GB less one byte, and terabytes by zip64.
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(SCHEMA, json.dumps(top(SCALER)))
        file.getinfo(SCHEMA).file_size = 2**32 - 2
    refused(path, sealed(archive), "more than its own size")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(SCHEMA, json.dumps(top(SCALER)))
        file.getinfo(SCHEMA).file_size = 2**42
    refused(path, sealed(archive), "more than its own size")
    # A sparse matrix is packed within the archive: it is not loaded under our name.
    packed = io.BytesIO()
    sparse.save_npz(packed, sparse.csr_array((1, 2 * 10**6 + 1)).tocsc())
    for cls in (OURS, ("builtins", "dict"), ("scipy.sparseful", "X")):
        root = node("SparseMatrixNode", *cls, type="scipy", file="a.npz")
        data = archive_of(top(parameter(root)), {"a.npz": packed.getvalue()})
        tracemalloc.start()
        refused(path, data, r"SparseMatrixNode")
        assert tracemalloc.get_traced_memory()[1] < 10**6
        tracemalloc.stop()
    # An array that says that it is of terabytes.
    root = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="a.npy")
    for shape in (2**40, 2**62):
        entries = {"a.npy": numpy_header(shape)}
        refused(path, archive_of(top(root), entries), "cannot be loaded")


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"protocol": 2}',
        "[" * 100_000,
        "1" * 5000,
        json.dumps(top(SCALER, protocol=99)),
        json.dumps(top(SCALER, protocol=True)),
        json.dumps(top(node("NoNode", "a", "b"))),
        json.dumps(top(node("NoNode", "a\x1b[31m", "b" * 10**5))),
        json.dumps(top(node("ObjectNode", "no.such.module", "Name", content=None))),
        json.dumps(top(node("CachedNode", "a", "b", __id__=5))),
        json.dumps(top(node("NdArrayNode", "numpy", "ndarray", type="x", file="y"))),
        json.dumps(top(parameter(sequence("list", {"__loader__": 3})))),
        json.dumps(top(node("ObjectNode", *OURS, content=value([1])))),
    ],
    ids=range(16),
)
def test_a_schema_that_makes_no_sense_is_one_error(tmp_path, schema):
    path = tmp_path / "m.skops"
    path.write_bytes(archive_of(schema))
    with pytest.raises((ValueError, TypeError), match=r"m\.skops") as error:
        skreg.io.load(path)
    assert type(error.value) in (ValueError, TypeError)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000


def test_a_deep_schema_is_one_error(tmp_path):
    depth = 2 * sys.getrecursionlimit()
    opens, closes = json.dumps(sequence("list", "inner")).split('"inner"')
    deep = opens * depth + json.dumps(value(1)) + closes * depth
    root = json.dumps(top({}))[:-1] + ", " + deep[1:]
    refused(tmp_path / "m.skops", archive_of(root), "RecursionError")


def test_no_archive_with_a_right_checksum(tmp_path):
    path = tmp_path / "m.skops"
    mark = b"skreg sha256 "
    for data in (b"", b"PK\x05\x06" + bytes(18), os.urandom(100)):
        refused(path, sealed_again(data + mark + bytes(64)), "cannot be loaded")


# What the code never does ------------------------------------------------------------

CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
MODULES = {
    "asyncio", "cloudpickle", "code", "codeop", "ctypes", "ftplib", "http",
    "importlib", "imp", "marshal", "multiprocessing", "pickle", "pty", "requests",
    "runpy", "shelve", "smtplib", "socket", "socketserver", "ssl", "subprocess",
    "urllib", "urllib3", "webbrowser", "xmlrpc",
}  # fmt: skip
ATTRIBUTES = {
    "os": {"system", "popen", "fork", "forkpty", "startfile", "putenv"},
    "joblib": {"load"},
    "np": {"load", "loadtxt", "genfromtxt", "fromfile", "memmap"},
}
PREFIXES = {"os": ("exec", "spawn", "posix_spawn")}
# Trained on a cluster is trained through the network, in this folder and no other.
ON_A_CLUSTER = "dask"


def forbidden(source, folder="skreg"):
    """What a file does that none of skreg may do."""
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.Import):
            imported = [alias.name for alias in each.names]
        elif isinstance(each, ast.ImportFrom):
            imported = [each.module or ""]
            imported += [f"{each.module}.{alias.name}" for alias in each.names]
        else:
            imported = []
        for module in imported:
            package = module.split(".")[0]
            # `from importlib import ...` is told by what it imports.
            harmless = module.startswith("importlib.metadata") or (
                module == "importlib" and isinstance(each, ast.ImportFrom)
            )
            if package in MODULES and not harmless:
                yield module
            if package in {"dask", "distributed"} and folder != ON_A_CLUSTER:
                yield module
        if isinstance(each, ast.Name) and each.id in CALLS:
            yield each.id
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            module, attribute = each.value.id, each.attr
            if attribute in ATTRIBUTES.get(module, ()) or attribute.startswith(
                PREFIXES.get(module, ("\0",))
            ):
                yield f"{module}.{attribute}"
        if isinstance(each, ast.keyword) and each.arg in ("allow_pickle", "shell"):
            yield each.arg


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: f.stem)
def test_no_file_runs_text_or_reaches_out(file):
    assert list(forbidden(file.read_text("utf-8"), file.parent.name)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os, re\nre.compile('a')\nos.replace(a, b)", []),
        ("from importlib.metadata import version", []),
        ("eval('1')", ["eval"]),
        ("f = exec", ["exec"]),
        ("import importlib", ["importlib"]),
        ("from importlib import import_module", ["importlib.import_module"]),
        ("import urllib.request", ["urllib.request"]),
        ("from http import client", ["http", "http.client"]),
        ("def f():\n    import pickle", ["pickle"]),
        ("os.system('ls')", ["os.system"]),
        ("os.execv(a, b)", ["os.execv"]),
        ("joblib.load(path)", ["joblib.load"]),
        ("np.load(path, allow_pickle=True)", ["np.load", "allow_pickle"]),
        ("import distributed", ["distributed"]),
    ],
)
def test_forbidden(source, expected):
    assert sorted(forbidden(source)) == sorted(expected)


def test_the_cluster_is_in_its_folder_alone():
    assert list(forbidden("import dask.array", ON_A_CLUSTER)) == []
    assert (PACKAGE / ON_A_CLUSTER).is_dir()


SESSION = '''
import os, sys, warnings
from pathlib import Path
import numpy as np
import skops.io
# These ask the system once: skrub's import for a folder and a socket, joblib for cores.
import joblib, skrub
joblib.cpu_count(only_physical_cores=True)
import skreg, skreg.io, skreg.functional
import skreg.__main__ as command
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

warnings.simplefilter("ignore")
PACKAGE, FOLDER = os.path.dirname(skreg.__file__), os.path.realpath(sys.argv[1])
found, seen = [], set()


def by_skreg():
    """Whether a file of skreg did it itself."""
    return os.path.dirname(sys._getframe(2).f_code.co_filename) == PACKAGE


def hook(event, args):
    seen.add(event)
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork",
                         "os.posix_spawn", "os.spawn", "urllib.", "http.", "ftplib.",
                         "smtplib.", "webbrowser.", "pty.")):
        found.append((event, str(args)))
    elif event in ("exec", "compile", "marshal.loads", "pickle.find_class"):
        if by_skreg():
            found.append((event, str(args)))
    elif event == "open":
        path, mode, flags = args
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if isinstance(path, (str, bytes)) and writes:
            place(event, path)
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"):
        place(event, args[0])
    elif event in ("os.rename", "os.link", "os.symlink"):
        place(event, args[0]), place(event, args[1])


def place(event, path):
    path = os.path.realpath(os.fsdecode(path))
    if not path.startswith(FOLDER + os.sep):
        found.append((event, path))


X, y = load_iris(return_X_y=True)
small = dict(hidden_layer_sizes=(4, 3), max_iter=3, random_state=0)
table = Path(FOLDER, "t.csv")
table.write_text("x,t,y\\n" + "1,a,0\\n2,=cmd|' /C calc'!A0,1\\n" * 12)
search = skreg.RegularizedMLPClassifierCV
sys.addaudithook(hook)

model = skreg.RegularizedMLPClassifier(**small, keep_prob=0.8).fit(X, y)
model.predict(X), model.predict_proba(X), model.score(X, y), model.sample_proba(X)
skreg.RegularizedMLPClassifier(**small).partial_fit(X, y, classes=[0, 1, 2])
skreg.RegularizedMLPEnsemble(model, 2).fit(X, y).predict(X)
skreg.RegularizedMLPClassifierCV([1.0], [1.0], cv=2, **small).fit(X, y).predict(X)
GridSearchCV(model, {"lambd": [0.1, 1]}, cv=2).fit(X, y)
model.to_sklearn()
path = os.path.join(FOLDER, "m.skops")
skreg.io.dump(model, path)
skreg.io.load(path).predict(X)
skreg.RegularizedMLPClassifierCV = lambda **of: search([1.0], [1.0], **(of | small))
args = [str(table), "--target", "y", "--jobs", "1", "--out", path]
assert command.main(["train", *args]) == 0
assert command.main(["predict", path, str(table), "--out", FOLDER + "/p.csv"]) == 0


def tell():
    for each in found:
        print("FOUND", *each)
    print("SEEN", *sorted(seen))


tell()
print("PROBES")
found.clear()
import socket, subprocess
socket.socket().close()
os.system("true")
subprocess.run(["true"])
open(FOLDER + ".outside", "w").close()
exec(compile('eval("1")', PACKAGE + "/x.py", "exec"))
tell()
'''


@pytest.mark.slow
def test_a_session_reaches_nothing_but_its_files(tmp_path):
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        # skrub makes a folder there when it is imported; Matplotlib, which some of its
        # versions import, would look for fonts there.
        "HOME": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"),
    }
    assert font_manager.fontManager.ttflist
    shutil.copytree(matplotlib.get_cachedir(), tmp_path / "matplotlib")
    done = subprocess.run(
        [sys.executable, "-c", SESSION, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    by_skreg, by_the_probes = done.stdout.split("PROBES\n")
    assert re.findall(r"^FOUND .*$", by_skreg, re.M) == []
    # The hook was there when files were written and renamed, and tells what it should.
    assert {"open", "os.rename"} <= set(
        re.search(r"^SEEN (.*)$", by_skreg, re.M)[1].split()
    )
    assert set(re.findall(r"^FOUND (\S+)", by_the_probes, re.M)) >= {
        *("socket.__new__", "os.system", "subprocess.Popen", "open", "compile", "exec")
    }
