"""The memory that ``fit`` and ``predict`` take beyond what was there before.

Each case runs in a fresh process, which first fits a few rows, so that imports and the
buffers of BLAS are paid for. The peak of the resident size is Linux's VmHWM, set back
(/proc/self/clear_refs) when X is there; then the same again under tracemalloc. Of a
prediction, the output is taken off both. MLPClassifier is there to compare with.

The memory-mapped table is trained on in a process whose data is limited to 1 GB: by
``systemd-run --user --scope -p MemoryMax=1G`` where that works, and by RLIMIT_DATA
everywhere. The latter bounds anonymous memory (heap, arrays), not the pages of the
file, which the system may take back at any time; a copy of X then fails. There the
resident peak is that of RssAnon, looked at every few milliseconds.

    python docs/benchmarks/memory.py

prints the table and writes results/memory.csv; ``--case 3`` measures one case.
"""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from common import AS_MLP_CLASSIFIER, arguments, report
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skreg import RegularizedMLPClassifier

MB = 2**20
LIMIT = 2**30
SCOPE = ["systemd-run", "--user", "--scope", "--quiet", "-p", "MemoryMax=1G"]
CLASSIFIERS = {"skreg": RegularizedMLPClassifier, "MLPClassifier": MLPClassifier}
EARLY = {"early_stopping": True}
# Who, what, dtype, rows, columns and parameters; fit takes X of 400 MB.
CASES: list[tuple[str, str, str, int, int, dict]] = [
    ("skreg", "fit", "float32", 1_048_576, 100, {}),
    ("skreg", "fit", "float64", 524_288, 100, {}),
    ("skreg", "fit", "float32", 1_048_576, 100, EARLY),
    ("skreg", "fit", "float64", 524_288, 100, EARLY),
    ("skreg", "fit", "float32", 4_194_304, 25, {}),
    ("skreg", "fit", "float32", 4_194_304, 25, EARLY),
    ("MLPClassifier", "fit", "float32", 1_048_576, 100, {}),
    ("MLPClassifier", "fit", "float32", 1_048_576, 100, EARLY),
    ("skreg", "predict", "float32", 1_000_000, 50, {}),
    ("skreg", "predict_proba", "float32", 1_000_000, 50, {}),
    ("MLPClassifier", "predict", "float32", 1_000_000, 50, {}),
    ("MLPClassifier", "predict_proba", "float32", 1_000_000, 50, {}),
    ("skreg", "fit memory-mapped", "float32", 5_242_880, 100, EARLY),
]


def status(field: str) -> float:
    """A size of this process in MB, from Linux's /proc/self/status."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


def fill(X: np.ndarray) -> None:
    """Random numbers, made in place."""
    generator = np.random.default_rng(0)
    for start in range(0, len(X), 100_000):
        rows = X[start : start + 100_000]
        generator.random(dtype=X.dtype, out=rows)


def measure(who: str, what: str, dtype: str, n: int, columns: int, extra: dict) -> dict:
    """The peaks of one case, in MB."""
    layers = (100, 50) if what.startswith("predict") else (16,)
    settings = {"hidden_layer_sizes": layers, "batch_size": 500, "max_iter": 1}
    if who == "skreg":
        extra = AS_MLP_CLASSIFIER | extra
    model = CLASSIFIERS[who](**settings, **extra)
    if what == "fit memory-mapped":
        return measure_mapped(model, n, columns)
    X = np.empty((n, columns), dtype)
    fill(X)
    y = (X[:, 0] > 0.5).astype(int)
    model.fit(X[:1000], y[:1000])

    def run() -> float:
        """Run it; the size of the output in MB."""
        if what == "fit":
            model.fit(X, y)
            return 0.0
        return getattr(model, what)(X).nbytes / MB

    # What was freed but not given back would hide what is allocated next.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS")
    output = run()
    resident = status("VmHWM") - before - output
    tracemalloc.start()
    run()
    traced = tracemalloc.get_traced_memory()[1] / MB - output
    return {"tracemalloc peak MB": traced, "resident peak MB": resident}


def measure_mapped(model: RegularizedMLPClassifier, n: int, columns: int) -> dict:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    peak, ended = 0.0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(0.005):
            peak = max(peak, status("RssAnon"))

    # Beside this file and not in /tmp, which may be memory itself.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        path = Path(folder) / "X.npy"
        fill(np.lib.format.open_memmap(path, "w+", np.float32, (n, columns)))
        X = np.load(path, mmap_mode="r")
        y = (X[:, 0] > 0.5).astype(int)
        y.flags.writeable = False
        try:
            np.array(X)
        except MemoryError:
            copy = "a copy of X fails"
        else:
            raise RuntimeError("the limit does not limit: X could be copied")
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            model.fit(X, y)
        finally:
            ended.set()
            watcher.join()
    return {"resident peak MB": peak, "note": f"anonymous, in all; {copy}"}


def in_fresh_process(index: int, scope: bool) -> dict[str, object]:
    """A line of the table."""
    who, what, dtype, n, columns, extra = CASES[index]
    mapped = what == "fit memory-mapped"
    command = [sys.executable, __file__, "--case", str(index)]
    done = subprocess.run(
        SCOPE + command if mapped and scope else command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    X_mb = n * columns * np.dtype(dtype).itemsize / MB
    bounds = {"fit": 0.05 * X_mb + 64, "fit memory-mapped": LIMIT / MB}
    entry: dict[str, object] = {
        "case": f"{who} {what}{', early stopping' if extra else ''}",
        "X": f"{dtype} {n} × {columns}",
        "X MB": round(X_mb),
        "tracemalloc peak MB": "",
        "resident peak MB": "",
        "bound MB": bounds.get(what, 64.0),
        "note": "",
    }
    if done.returncode:
        return {**entry, "holds": "NO", "note": f"ended with {done.returncode}"}
    entry |= json.loads(done.stdout)
    if mapped:
        limit = "MemoryMax=1G and RLIMIT_DATA" if scope else "RLIMIT_DATA"
        entry["note"] = f"limit: {limit} of 1 GB; {entry['note']}"
    peaks = [size for name, size in entry.items() if "peak" in name and size != ""]
    return {**entry, "holds": "yes" if max(peaks) <= entry["bound MB"] else "NO"}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], case=-1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.case >= 0:
        print(json.dumps(measure(*CASES[options.case])))
        return
    try:
        tried = subprocess.run([*SCOPE, "true"], stderr=subprocess.DEVNULL, check=False)
        scope = not tried.returncode
    except FileNotFoundError:
        scope = False
    lines = [in_fresh_process(index, scope) for index in range(len(CASES))]
    report("memory", lines, options.results)


if __name__ == "__main__":
    main()
