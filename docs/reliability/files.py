"""Files of models under fire: damaged, cut off by a kill, and on a full disk.

    python docs/reliability/files.py fuzz --count 10000
    python docs/reliability/files.py kill --count 200
    python docs/reliability/files.py full

Each runs for a pipeline with skreg's classifier and for one with ``MLPClassifier``,
saved in each way, prints a table and writes it to ``results/files_<command>.csv``. It
needs skops and a system that can fork.

``fuzz`` changes a file at random and loads it. What came of it:

- error: an exception;
- same: the model that was saved, to the last bit of everything in it;
- altered: its probabilities, but something else in it has changed;
- WRONG: other probabilities, or a model that cannot predict;
- crash: the process was killed by a signal, such as a segmentation fault;
- hang: half a second of the processor, or half a gigabyte, was not enough.

``kill`` has a process save two models in turns to one file, and kills it after a random
time by SIGKILL. ``full`` saves a larger model over one, where only half of it can be
written: by a limit on the size of files, and on a disk of its own where it may mount
one.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import os
import pickle
import random
import resource
import signal
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg.io
from skreg import RegularizedMLPClassifier
from skreg.io import write_whole

RESULTS = Path(__file__).parent / "results"
OURS = "skreg.RegularizedMLPClassifier"
# Those of a file with MLPClassifier: skops does not trust them itself.
OF_SKLEARN = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]


def to_pickle(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


def to_joblib(model: Any, path: Path, compress: Any = 0) -> None:
    joblib.dump(model, path, compress=compress)


def to_joblib_whole(model: Any, path: Path) -> None:
    """With the checksums of xz, whole or not at all."""
    write_whole(path, lambda file: joblib.dump(model, file, compress=("xz", 1)))


# How a model is saved, and how it is loaded.
WAYS: dict[str, tuple[Callable[[Any, Path], None], Callable[[Path], Any]]] = {
    "skreg.io": (skreg.io.dump, partial(skreg.io.load, trusted=OF_SKLEARN)),
    "joblib xz whole": (to_joblib_whole, joblib.load),
    "joblib zlib": (partial(to_joblib, compress=("zlib", 3)), joblib.load),
    "joblib": (to_joblib, joblib.load),
    "skops": (skops.io.dump, partial(skops.io.load, trusted=[OURS, *OF_SKLEARN])),
    "pickle": (to_pickle, lambda path: pickle.loads(path.read_bytes())),
}
NETWORKS = {
    "skreg": RegularizedMLPClassifier,
    "MLPClassifier": MLPClassifier,
}
ALARMS = (signal.SIGPROF, signal.SIGALRM)
OUTCOMES = ("error", "same", "altered", "WRONG", "crash", "hang")


def fitted(network: type, units: int, seed: int) -> tuple[Any, np.ndarray]:
    """A fitted pipeline, and rows for it."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 5 if units < 100 else units))
    y = (X[:, 0] > 0).astype(int)
    model = network((units, units), max_iter=3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(StandardScaler(), model).fit(X, y), X


# Damage ------------------------------------------------------------------------------


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    return change(data, rng, lambda byte: byte ^ 1 << rng.randrange(8))


def set_byte(data: bytes, rng: random.Random) -> bytes:
    return change(data, rng, lambda byte: (byte + rng.randrange(1, 256)) % 256)


def change(data: bytes, rng: random.Random, new: Callable[[int], int]) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([new(data[at])]) + data[at + 1 :]


def block(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Begin and end of a part, short ones as likely as long ones."""
    size = min(len(data), int(2 ** rng.uniform(0, 13)))
    begin = rng.randrange(len(data) - size + 1)
    return begin, begin + size


def zero(data: bytes, rng: random.Random) -> bytes:
    begin, end = block(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:]


def cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(int(2 ** rng.uniform(0, 10))) + data[at:]


def delete(data: bytes, rng: random.Random) -> bytes:
    begin, end = block(data, rng)
    return data[:begin] + data[end:]


def swap(data: bytes, rng: random.Random) -> bytes:
    size = min(len(data) // 2, int(2 ** rng.uniform(0, 10)))
    first = rng.randrange(len(data) - 2 * size + 1)
    second = rng.randrange(first + size, len(data) - size + 1)
    one, other = data[first : first + size], data[second : second + size]
    between = data[first + size : second]
    return data[:first] + other + between + one + data[second + size :]


DAMAGE = (flip_bit, set_byte, zero, cut_off, insert, delete, swap)


def damaged(data: bytes, other: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Changed copies of a file: of each kind in turn, and joined to another file."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        kind = made % (len(DAMAGE) + 1)
        if kind < len(DAMAGE):
            new = DAMAGE[kind](data, rng)
        elif rng.random() < 0.5:
            new = data + other
        else:
            at = rng.randrange(min(len(data), len(other)))
            new = data[:at] + other[at:]
        if new not in (data, other):
            made += 1
            yield new


# What comes of it --------------------------------------------------------------------


def fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads, such as those that a BLAS keeps.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def in_children(judge: Callable[[Any], int], cases: list[Any]) -> Iterator[int | str]:
    """Judge each case in a process of its own kind, which may crash or hang."""
    at = 0
    while at < len(cases):
        read, write = os.pipe()
        child = fork()
        if not child:
            limit = virtual_memory() + 2**29
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            # What a crashing library prints, and Python of it.
            faulthandler.disable()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for case in cases[at:]:
                signal.setitimer(signal.ITIMER_PROF, 0.5)
                signal.alarm(60)
                os.write(write, bytes([judge(case)]))
            os._exit(0)
        os.close(write)
        with open(read, "rb") as answers:
            while answer := answers.read(1):
                yield answer[0]
                at += 1
        status = os.waitpid(child, 0)[1]
        if at < len(cases):
            yield "hang" if os.WTERMSIG(status) in ALARMS else "crash"
            at += 1


def fuzz(way: str, network: type, count: int, units: int = 4) -> Counter[str]:
    """How often what came of a damaged file."""
    save, load = WAYS[way]
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder, "model"), Path(folder, "other")
        model, X = fitted(network, units, 0)
        save(model, path)
        save(fitted(network, units, 1)[0], other)
        whole = load(path)
        expected, content = whole.predict_proba(X), joblib.hash(whole)
        cases = list(damaged(path.read_bytes(), other.read_bytes(), count))

        def judge(data: bytes) -> int:
            path.write_bytes(data)
            try:
                loaded = load(path)
            except MemoryError:
                return OUTCOMES.index("hang")
            except BaseException:
                return OUTCOMES.index("error")
            try:
                if not np.array_equal(loaded.predict_proba(X), expected):
                    return OUTCOMES.index("WRONG")
                same = joblib.hash(loaded) == content
            except BaseException:
                return OUTCOMES.index("WRONG")
            return OUTCOMES.index("same" if same else "altered")

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = Counter(
                answer if isinstance(answer, str) else OUTCOMES[answer]
                for answer in in_children(judge, cases)
            )
    return found


def kill(way: str, network: type, count: int, units: int = 200) -> Counter[str]:
    """What is found after a SIGKILL in the middle of saving."""
    save, load = WAYS[way]
    found: Counter[str] = Counter()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        models = [fitted(network, units, seed) for seed in (0, 1)]
        X = models[0][1]
        expected = [model.predict_proba(X) for model, _ in models]
        start = time.perf_counter()
        save(models[0][0], path)
        longest = 2 * (time.perf_counter() - start)
        for _ in range(count):
            save(models[0][0], path)
            read, write = os.pipe()
            child = fork()
            if not child:
                os.write(write, b"!")
                while True:
                    for model, _ in reversed(models):
                        save(model, path)
            os.close(write)
            os.read(read, 1)
            os.close(read)
            time.sleep(rng.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            left = [file for file in path.parent.iterdir() if file != path]
            found["temporary file left"] += len(left)
            for file in left:
                file.unlink()
            try:
                proba = load(path).predict_proba(X)
                whole = any(np.array_equal(proba, each) for each in expected)
            except Exception:
                whole = False
            found["whole" if whole else "BROKEN"] += 1
    return found


def full(way: str, network: type, units: int = 200) -> Counter[str]:
    """What is found after saving where there is room for half of the file."""
    save, load = WAYS[way]
    found: Counter[str] = Counter()
    model, X = fitted(network, units, 0)
    larger = fitted(network, 4 * units, 1)[0]
    expected = model.predict_proba(X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        save(larger, path)
        half = path.stat().st_size // 2
        save(model, path)
        assert path.stat().st_size < half
        _, limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (half, limit))
        try:
            save(larger, path)
        except OSError:
            found["OSError"] += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        found.update(after(load, path, X, expected))
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={half}", "none", folder]
        if subprocess.run(mount, capture_output=True).returncode:
            return found  # It takes root, and leave to mount.
        try:
            path = Path(folder, "model")
            save(model, path)
            try:
                save(larger, path)
            except OSError:
                found["OSError, mounted"] += 1
            found.update(after(load, path, X, expected))
        finally:
            subprocess.run(["umount", folder], check=True)
    return found


def after(
    load: Callable[[Path], Any], path: Path, X: np.ndarray, expected: np.ndarray
) -> Iterator[str]:
    """What is left of the old model, and beside it."""
    try:
        same = np.array_equal(load(path).predict_proba(X), expected)
    except Exception:
        same = False
    yield "whole" if same else "BROKEN"
    yield from ("temporary file left" for file in path.parent.iterdir() if file != path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", choices=["fuzz", "kill", "full"])
    parser.add_argument("--count", type=int, help="files, or kills, of each row")
    parser.add_argument("--units", type=int, help="in each of the two hidden layers")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    options = {} if args.units is None else {"units": args.units}
    if args.command == "fuzz":
        run: Any = partial(fuzz, count=args.count or 10_000, **options)
        columns: tuple[str, ...] = OUTCOMES
    elif args.command == "kill":
        run = partial(kill, count=args.count or 200, **options)
        columns = ("whole", "BROKEN", "temporary file left")
    else:
        run = partial(full, **options)
        columns = ("OSError", "OSError, mounted", "whole", "BROKEN")
        columns = (*columns, "temporary file left")
    rows = []
    print(f"{'':36}", *(f"{column:>9}" for column in columns))
    for way in args.ways:
        for name, network in NETWORKS.items():
            found = run(way, network)
            rows.append([way, name, *(found[column] for column in columns)])
            counts = zip(columns, rows[-1][2:], strict=True)
            cells = [f"{count:>{max(9, len(column))}}" for column, count in counts]
            print(f"{way:20}{name:16}", *cells, flush=True)
    args.results.mkdir(exist_ok=True)
    with open(args.results / f"files_{args.command}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["way", "model", *columns], *rows])


if __name__ == "__main__":
    main()
