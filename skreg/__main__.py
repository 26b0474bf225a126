"""The command ``python -m skreg``.

Without a table it compares four networks and searches ``lambd`` and ``keep_prob`` on
bundled data. With a CSV table it searches there and saves the fitted pipeline.
"""

import argparse
import csv
import io
import math
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import joblib
import numpy as np
from sklearn import model_selection
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from skreg import RegularizationWarning, RegularizedMLPClassifier
from skreg.io import check_writable, printable, write_whole

FOLDS = 5
# With fewer, a quarter held out may leave less than one row of the class a fold.
MIN_CLASS_ROWS = FOLDS + 3
MAX_CATEGORIES = 30
# More, with 100 units in the first layer, and the search would take gigabytes.
MAX_FEATURES = 100_000
# The variance of larger numbers overflows.
MAX_NUMBER = 1e150
MISSING = frozenset({"", "NA", "NaN", "nan", "null", "?", "None"})
NETWORKS: dict[str, dict[str, float]] = {
    "unregularised": {"lambd": 0.0, "keep_prob": 1.0},
    "L2 (lambd=4)": {"lambd": 4.0, "keep_prob": 1.0},
    "dropout (keep_prob=0.5)": {"lambd": 0.0, "keep_prob": 0.5},
    "L2 and dropout": {"lambd": 4.0, "keep_prob": 0.5},
}
PICTURE = "skreg-breast-cancer.png"


class _Plan(NamedTuple):
    """How large the network and the search are."""

    lambds: tuple[float, ...] = (0.0, 1.0, 4.0, 16.0, 64.0)
    keep_probs: tuple[float, ...] = (1.0, 0.8, 0.5)
    hidden_layer_sizes: tuple[int, ...] = (100, 50)
    max_iter: int = 1000


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage as the command reports every other error."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


class _Search(model_selection.GridSearchCV):
    """``GridSearchCV`` over a list of grids that says how far it is.

    Where scikit-learn has no ``_run_search`` any more, ``GridSearchCV`` does as well.
    """

    def _run_search(self, evaluate_candidates: Callable[[Any], Any]) -> None:
        for i, grid in enumerate(self.param_grid, 1):
            evaluate_candidates(model_selection.ParameterGrid(grid))
            _say(f"  {i} of {len(self.param_grid)} values of lambd")


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr, flush=True)


def _quote(*names: str) -> str:
    """Quote names for a message: short, on one line, ten at most."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(repr(name[:60]) for name in names[:10]) + more


def _read_csv(path: Path) -> tuple[list[str], list[list[str | None]]]:
    """Read the header and the rows, None for what is missing; skip blank lines."""
    # What another command writes may come by a pipe. A device has no end.
    if path.exists() and not (path.is_file() or path.is_fifo()):
        raise ValueError(f"{path} is neither a file nor a pipe")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error.reason}") from error
    if "\0" in text:
        raise ValueError(f"{path} is not plain text: it has NUL bytes")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = filter(None, reader)
    rows: list[list[str | None]] = []
    try:
        names = [name.strip() for name in next(lines, [])]
        _check_width(len(names) - 1, "columns")
        for line in lines:
            if len(line) != len(names):
                raise csv.Error(f"{len(line)} cells where the header has {len(names)}")
            rows.append([None if cell.strip() in MISSING else cell for cell in line])
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path} is an empty table: a header and rows are needed")
    return names, rows


def _read_table(path: Path, target: str) -> tuple[Any, Any, list[int], list[int]]:
    """Return features, labels, and which columns are numbers and which are text."""
    names, rows = _read_csv(path)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{path} has duplicate column names: {_quote(*repeated)}")
    if target not in names:
        raise ValueError(f"no column {_quote(target)}; there are {_quote(*names)}")
    at = names.index(target)
    kept = [row for row in rows if row[at] is not None]
    if len(kept) < len(rows):
        _say(f"note: {len(rows) - len(kept)} rows without a target are dropped")
    labels = [str(row.pop(at)) for row in kept]
    _check_labels(labels, target)
    X = np.full((len(kept), len(names) - 1), math.nan, dtype=object)
    places: dict[type, list[int]] = {float: [], str: []}
    width = 0
    for i, name in enumerate(names[:at] + names[at + 1 :]):
        cells = [row[i] for row in kept]
        if kind := _kind([cell for cell in cells if cell is not None], name):
            X[:, i] = [math.nan if cell is None else kind(cell) for cell in cells]
            places[kind].append(i)
            width += 1 if kind is float else min(len(set(cells)), MAX_CATEGORIES)
    _check_width(width, "features, with those of the text columns,")
    if not any(places.values()):
        raise ValueError(f"{path} has no feature columns beside {_quote(target)}")
    # Only integers that look the same again may stand for the table's own strings.
    whole = all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", label) for label in labels)
    y = np.array([int(label) for label in labels] if whole else labels)
    return X, y, places[float], places[str]


def _check_width(count: int, what: str) -> None:
    if count > MAX_FEATURES:
        raise ValueError(
            f"{count} {what} are too many for the command, which takes {MAX_FEATURES}; "
            "choose among them, or fit RegularizedMLPClassifier to a sparse matrix"
        )


def _kind(known: list[str], name: str) -> type | None:
    """Tell whether a column's known cells are numbers, text or not there at all."""
    if not known:
        _say(f"note: column {_quote(name)} has no values and is dropped")
        return None
    if all(map(_is_number, known)):
        largest = max(known, key=lambda cell: abs(float(cell)))
        if abs(float(largest)) > MAX_NUMBER:
            raise ValueError(
                f"column {_quote(name)} has the number {_quote(largest)}, which is too "
                "large to be scaled; give it in another unit, or leave it empty"
            )
        return float
    count = len(set(known))
    if count > MAX_CATEGORIES or count > 0.9 * len(known):
        _say(f"note: text column {_quote(name)} has {count} values; rare ones pooled")
    return str


def _is_number(cell: str) -> bool:
    """Tell whether the cell is a finite number; Python's 1_000 is text here."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _check_labels(labels: list[str], target: str) -> None:
    """Refuse a target that is no set of classes or that cannot be split into folds."""
    column, counts = f"the target {_quote(target)}", Counter(labels)
    if len(counts) < 2:
        raise ValueError(f"{column} has less than two classes: {_quote(*counts) or 0}")
    rarest, rows = counts.most_common()[-1]
    if rows >= MIN_CLASS_ROWS:
        return
    if all(map(_is_number, counts)):
        whole = all(float(label).is_integer() for label in counts)
        if len(counts) > 20 or not whole:
            raise ValueError(
                f"{column} looks continuous, with {len(counts)} different numbers; "
                "skreg is for classification"
            )
    raise ValueError(
        f"class {_quote(rarest)} of {column} has too few rows: {rows}, and the splits "
        f"need {MIN_CLASS_ROWS}"
    )


def _transformer(numbers: list[int], texts: list[int]) -> Any:
    """Impute and scale the numbers, impute and encode the texts."""
    missing = {"strategy": "constant", "fill_value": "missing"}
    bounds = {"min_frequency": 2, "max_categories": MAX_CATEGORIES}
    text = make_pipeline(
        SimpleImputer(**missing, keep_empty_features=True),
        # A caller's own rows may well hold None for what is missing.
        SimpleImputer(**missing, missing_values=None),
        # An unknown value joins the rare ones, so that an identifier looks the same in
        # training and in new rows; where none is rare, it counts as no value.
        OneHotEncoder(
            **bounds, handle_unknown="infrequent_if_exist", sparse_output=False
        ),
    )
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    number = make_pipeline(median, StandardScaler())
    parts = [("numbers", number, numbers), ("texts", text, texts)]
    return ColumnTransformer([part for part in parts if part[2]])


def _model(transformer: Any, plan: _Plan, seed: int, **setting: Any) -> Any:
    network = RegularizedMLPClassifier(
        plan.hidden_layer_sizes,
        # Trained to the end, so that the settings alone regularise.
        learning_rate="constant",
        learning_rate_init=0.001,
        max_iter=plan.max_iter,
        early_stopping=False,
        averaging=0.0,
        random_state=seed,
        **setting,
    )
    return Pipeline([("columns", transformer), ("network", network)])


def _search(columns: Any, X: Any, y: Any, plan: _Plan, args: argparse.Namespace) -> Any:
    """Search ``lambd`` and ``keep_prob`` of the network behind ``columns``."""
    lambds, keep_probs = plan.lambds, plan.keep_probs
    _say(f"searching {len(lambds) * len(keep_probs)} settings in {FOLDS} folds")
    search = _Search(
        _model(columns, plan, args.seed),
        [{"network__lambd": [x], "network__keep_prob": keep_probs} for x in lambds],
        scoring={"accuracy": "accuracy", "log_loss": "neg_log_loss"},
        refit="log_loss",
        cv=model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=args.seed),
        n_jobs=args.jobs,
        error_score="raise",
    ).fit(X, y)
    if search.best_estimator_["network"].n_iter_ >= plan.max_iter:
        _say(f"note: training stopped after {plan.max_iter} epochs, still improving")
    return search


def _scores(model: Any, X: Any, y: Any) -> tuple[float, float]:
    """Return accuracy and log-loss."""
    loss = log_loss(y, model.predict_proba(X), labels=model.classes_)
    return float(accuracy_score(y, model.predict(X))), float(loss)


def _print_table(heads: Sequence[str], rows: Mapping[str, tuple[float, ...]]) -> None:
    print(" " * 28 + "".join(f"{head:>12}" for head in heads))
    for name, values in rows.items():
        print(f"{name:<28}" + "".join(f"{value:>12.3f}" for value in values))


def _print_search(search: Any, models: dict[str, Any], X: Any, y: Any) -> None:
    best = search.best_params_
    lambd, keep_prob = best["network__lambd"], best["network__keep_prob"]
    print(f"\nBest of the search in {FOLDS} folds: {lambd=:g}, {keep_prob=:g}")
    accuracy = float(search.cv_results_["mean_test_accuracy"][search.best_index_])
    rows = {"cross-validated": (accuracy, -float(search.best_score_))}
    rows |= {name: _scores(model, X, y) for name, model in models.items()}
    _print_table(["accuracy", "log-loss"], rows)


def _compression() -> tuple[str, int]:
    """Choose what finds damage in a file of joblib: the checksums of xz."""
    try:
        import lzma  # noqa: F401
    except ImportError:
        # Python can be built without; a checksum is in this as well.
        return "zlib", 3
    return "xz", 1


def _draw(scores: Mapping[str, tuple[float, ...]], path: Path) -> str:
    """Draw train and test log-loss as two bars for each network; say where."""
    try:
        # pyplot would choose a backend and keep global state; Figure does neither.
        from matplotlib import figure
    except ImportError:
        return 'No picture without matplotlib: pip install "skreg[plot]"'
    drawing = figure.Figure(figsize=(8, 4), layout="constrained")
    axes = drawing.subplots()
    axes.set(title="Breast cancer: train and test loss", ylabel="log-loss")
    for i, name, colour in (2, "train", "#9ecae1"), (3, "test", "#08519c"):
        places = np.arange(len(scores)) + 0.4 * (i - 2.5)
        heights = [row[i] for row in scores.values()]
        bars = axes.bar(places, heights, width=0.38, label=name, color=colour)
        axes.bar_label(bars, fmt="%.3f", padding=2)
    axes.set_xticks(range(len(scores)), list(scores))
    axes.margins(y=0.1)
    axes.legend(frameon=False)
    write_whole(path, lambda file: drawing.savefig(file, format="png", dpi=150))
    return f"Picture of train and test loss: {printable(str(path))}"


def _run_demo(args: argparse.Namespace, plan: _Plan) -> None:
    """Train four networks on the bundled data, then search."""
    if args.picture:
        check_writable(Path(args.picture))
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=args.seed)
    scores = {}
    for name, setting in NETWORKS.items():
        _say(f"training: {name}")
        model = _model(StandardScaler(), plan, args.seed, **setting).fit(X, y)
        train, test = _scores(model, X, y), _scores(model, X_test, y_test)
        scores[name] = train[0], test[0], train[1], test[1]
    search = _search(StandardScaler(), X, y, plan, args)
    print(f"Breast cancer: {len(y)} rows to train, {len(y_test)} to test\n")
    _print_table(["train acc.", "test acc.", "train loss", "test loss"], scores)
    _print_search(search, {"test": search.best_estimator_}, X_test, y_test)
    if args.picture:
        print("\n" + _draw(scores, Path(args.picture)))


def _run_table(args: argparse.Namespace, plan: _Plan) -> None:
    """Search on the user's table and save the fitted pipeline."""
    source = Path(args.table)
    out = Path(f"{source.stem}.joblib" if args.out is None else args.out)
    X, y, numbers, texts = _read_table(source, args.target)
    if out.exists() and out.samefile(source):
        raise ValueError(f"cannot write {out}: it is the table itself")
    check_writable(out)
    _say(f"{len(y)} rows, columns: {len(numbers)} of numbers, {len(texts)} of text")
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=args.seed)
    search = _search(_transformer(numbers, texts), X, y, plan, args)
    best, compress = search.best_estimator_, _compression()
    write_whole(out, lambda file: joblib.dump(best, file, compress=compress))
    majority = DummyClassifier(strategy="prior").fit(X, y)
    print(f"{len(y)} rows to train, {len(y_test)} held out")
    models = {"held out": best, "held out, majority class": majority}
    _print_search(search, models, X_test, y_test)
    print(f"\nSaved the pipeline fitted to the {len(y)} rows: {printable(str(out))}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m skreg",
        allow_abbrev=False,
        description="Train a network regularised by L2 and dropout. Without TABLE: "
        "compare four networks on scikit-learn's breast-cancer data, then search lambd "
        "and keep_prob. With TABLE: search them for it and save the fitted pipeline.",
        epilog="The saved file is for joblib.load. Its predict takes an object array "
        "with the table's columns in their order, without the target; None or NaN is "
        "a missing value. Exit status: 0, 2 for an error, 130 for Ctrl-C.",
    )
    add, jobs = parser.add_argument, min(2, joblib.cpu_count())
    add("table", metavar="TABLE", nargs="?", help="a CSV file with a header, in UTF-8")
    add("--target", metavar="COLUMN", help="the column of TABLE to predict")
    add("--out", metavar="MODEL", help="where to save (TABLE's name with .joblib)")
    add("--picture", metavar="PATH", default=PICTURE, help="PNG file (%(default)s)")
    add("--no-picture", dest="picture", action="store_const", help="draw nothing")
    add("--seed", type=int, default=0, help="of splits and networks (%(default)s)")
    add("--jobs", type=int, default=jobs, help="processes to use (%(default)s)")
    args = parser.parse_args(argv)
    if (args.table is None) != (args.target is None) or (args.out and not args.table):
        parser.error("TABLE and --target COLUMN need each other, --out needs both")
    if args.table is not None and args.picture != PICTURE:
        parser.error("--picture and --no-picture go without a TABLE")
    if args.picture is not None and not args.picture.lower().endswith(".png"):
        parser.error("--picture needs a name that ends in .png")
    if not 0 <= args.seed < 2**32 or args.jobs < 1:
        parser.error("--seed must be in 0..4294967295 and --jobs at least 1")
    return args


def _run(argv: Sequence[str] | None, plan: _Plan) -> int:
    try:
        args = _parse(argv)
        # BLAS threads slow small networks down, and the search has its processes.
        with warnings.catch_warnings(), threadpool_limits(1, "blas"):
            # Strong values of lambd are there to be compared.
            for category in (ConvergenceWarning, RegularizationWarning):
                warnings.simplefilter("ignore", category)
            (_run_demo if args.table is None else _run_table)(args, plan)
    except (ValueError, OSError) as error:
        message = re.sub(r"^\[Errno \d+\] ", "", " ".join(str(error).split()))
        _say(f"skreg: error: {message}")
        return 2
    except KeyboardInterrupt:
        _say("skreg: interrupted")
        return 130
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit status: 0, 2 for an error, 130 when interrupted.
    """
    return _run(argv, _Plan())


if __name__ == "__main__":
    # Before scikit-learn 1.7 worker processes do not get the filters of this one.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning")
    sys.exit(main())
