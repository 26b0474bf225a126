"""The command ``skreg``, or ``python -m skreg``.

Alone it compares four networks and searches ``lambd`` and ``keep_prob`` on bundled
data. ``skreg train`` makes a model of a table, which ``skreg predict`` uses.
"""

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import joblib
import numpy as np
from sklearn import base, datasets, dummy, ensemble, metrics, model_selection, pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import skreg
import skreg.io
from skreg._command import report, tables
from skreg._tabular.cells import libraries, listed

SUFFIXES = r"(?i)(\.(csv|tsv|txt|parquet|pq|gz|bz2|xz|zip|zst))+$"
# Trained to the end, so that the settings alone regularise.
TRAINING = {"max_iter": 300, "early_stopping": False, "averaging": 0.0}


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage as the command reports every other error."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _say(text: str, file: Any = None) -> None:
    """Print progress, notes and errors; the result goes to another file, stdout."""
    lines = map(skreg.io.printable, text.split("\n"))
    print(*lines, sep="\n", file=file or sys.stderr, flush=True)


def _check_outputs(outputs: Sequence[Path | None], *sources: Path) -> None:
    """Refuse what cannot be written, or is what the command reads."""
    for path in filter(None, outputs):
        if path.exists() and any(path.samefile(each) for each in sources):
            raise ValueError(f"cannot write {path}: the command reads it")
        skreg.io.check_writable(path)


# Models and their scores --------------------------------------------------------------


def _scores(y: Any, P: Any, classes: Any) -> dict[str, float]:
    predicted = classes[P.argmax(axis=1)]
    auc = {"AUC": metrics.roc_auc_score(y, P[:, 1])} if len(classes) == 2 else {}
    return auc | {
        "log-loss": metrics.log_loss(y, P, labels=classes),
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced accuracy": metrics.balanced_accuracy_score(y, predicted),
    }


def _lines(rows: dict[str, dict[str, float]]) -> str:
    """A line for each model, its numbers under their names."""
    lines = [" " * 23 + "".join(f"   {head}" for head in next(iter(rows.values())))]
    for name, scores in rows.items():
        cells = [f"{score:>{3 + len(head)}.3f}" for head, score in scores.items()]
        lines.append(f"{name:<23}" + "".join(cells))
    return "\n".join(lines)


def _compare(args: Any, title: str, models: Any, X: Any, y: Any) -> Any:
    """Fit the models, the first of which searches, to three quarters of the rows.

    Print the scores on the others; return what was printed, and those rows.
    """
    X, X_test, y, y_test = model_selection.train_test_split(
        X, y, stratify=y, random_state=args.seed
    )
    _say(f"{title}\n", sys.stdout)
    found, P = {}, {}
    for name, model in models.items():
        _say(f"fitting to {len(X)} rows: {name}")
        with redirect_stdout(sys.stderr), warnings.catch_warnings(action="ignore"):
            model.fit(X, y)
            P[name], of_train = model.predict_proba(X_test), model.predict_proba(X)
            found[name] = _scores(y_test, P[name], model.classes_)
            found[name]["train log-loss"] = metrics.log_loss(y, of_train)
    name, best = next(iter(models.items()))
    predicted = best.classes_[P[name].argmax(axis=1)]
    by_class = metrics.classification_report(y_test, predicted, digits=3)
    text = (
        f"{len(X)} rows to train, {len(X_test)} held out\n\n{_lines(found)}\n\n"
        f"The search chose lambd={best[-1].lambd_:g}, keep_prob={best[-1].keep_prob_:g}"
        f", with the score {best[-1].best_score_:.3f} ({args.scoring})\n\n{by_class}"
    )
    _say(text, sys.stdout)
    return f"{title}\n\n{text}", best, X_test, y_test


def _demo(args: argparse.Namespace) -> None:
    """Compare four networks on the breast-cancer data, then search."""
    _check_outputs([args.report])
    X, y = datasets.load_breast_cancer(return_X_y=True, as_frame=bool(args.report))
    search = skreg.RegularizedMLPClassifierCV(n_jobs=args.jobs, verbose=1)
    models: dict[str, Any] = {"search": search}
    for lambd, keep_prob in product((0.0, 4.0), (1.0, 0.5)):
        network = skreg.RegularizedMLPClassifier(lambd=lambd, keep_prob=keep_prob)
        models[f"{lambd=:g}, {keep_prob=:g}"] = network.set_params(**TRAINING)
    for name, model in models.items():
        model.set_params(random_state=args.seed)
        models[name] = pipeline.make_pipeline(StandardScaler(), model)
    findings = _compare(args, "Breast cancer", models, X, y)
    if args.report:
        report.write(args.report, *findings)


def _train(args: argparse.Namespace) -> None:
    """Hold out a quarter of the rows, search on the others, and save a fit of all."""
    skreg.io.import_skops()
    pd, _ = libraries()
    out = args.out or Path(re.sub(SUFFIXES, "", args.table.name) + ".skops")
    _check_outputs([out, args.report], args.table)
    table, y, left_out = _prepared(args)
    # The encoder of the model that is saved, which tells what it does to the columns.
    columns = skreg.tabular_pipeline(decimal=args.decimal)[0]
    encoded = columns.fit_transform(table.drop(columns=left_out), y)
    # An odd cell that is only among the rows held out is missing there as well.
    frame = columns.cells_.transform(table.drop(columns=left_out))[0]
    about = table.isna().sum().to_frame("missing")
    about["taken as"] = pd.Series(columns.vectorizer_.column_to_kind_ | left_out)
    search = skreg.RegularizedMLPClassifierCV(
        scoring=args.scoring, random_state=args.seed, n_jobs=args.jobs, verbose=1
    )
    boosting = ensemble.HistGradientBoostingClassifier(random_state=args.seed)
    models = {
        "network": skreg.tabular_pipeline(search),
        "gradient boosting": skreg.tabular_pipeline(boosting, numeric="passthrough"),
        "majority class": dummy.DummyClassifier(strategy="prior"),
    }
    title = f"{args.table.name}\n\n{about.to_string()}"
    found = _compare(args, title, models, frame, y)
    _say(f"fitting to all {len(y)} rows")
    best = base.clone(models["network"][-1].best_estimator_).fit(encoded, y)
    model = pipeline.make_pipeline(columns, best)
    # The predictions for a table that has it are judged.
    model.target_ = args.target
    skreg.io.dump(model, out)
    _say(f"Saved the model fitted to all {len(y)} rows: {out}", sys.stdout)
    if args.report:
        report.write(args.report, *found)


def _prepared(args: argparse.Namespace) -> tuple[Any, Any, dict[str, str]]:
    """The table, its classes, the columns that are left out and why."""
    table = tables.read(args.table, [args.target], args.separator, args.encoding)
    if absent := {args.target, *args.drop, *args.keep} - {*table}:
        raise ValueError(f"no column {listed(absent)}; there are {listed(table)}")
    labels = tables.classes(table[args.target])
    _say(f"note: {len(labels)} of {len(table)} rows have a target")
    tables.check_classes(labels, args.target)
    table = table.loc[labels.index]
    left_out = dict.fromkeys(args.drop, "left out") | {args.target: "target"}
    for name in table.columns.difference([*left_out, *args.keep], sort=False):
        empty = table[name].isna().all()
        if empty or tables.is_identifier(name, table[name]):
            left_out[name] = "no values" if empty else "identifier"
            hint = "" if empty else f" (--keep {name!r} keeps it)"
            _say(f"note: {name!r} is left out: {left_out[name]}{hint}")
    if len(left_out) == table.shape[1]:
        raise ValueError(f"no column beside {args.target!r} says anything")
    return table, np.array(labels.tolist()), left_out


def _predict(args: argparse.Namespace) -> None:
    """Predict the classes of a table's rows; where they are known, print the scores."""
    pd, _ = libraries()
    _check_outputs([args.out], args.model, args.table)
    model = skreg.io.load(args.model)
    if not hasattr(model, "target_"):
        raise ValueError(f"{args.model} holds no model of skreg train")
    if args.decimal:
        cells = model[0].cells_
        cells.decimals_ = dict.fromkeys(cells.decimals_, args.decimal)
    names = [model.target_, *model.feature_names_in_]
    table = tables.read(args.table, names, args.separator, args.encoding)
    X = table[[name for name in names[1:] if name in table]]
    P = model.predict_proba(X)
    predictions = pd.DataFrame({"prediction": model.classes_[P.argmax(axis=1)]})
    if args.probabilities:
        names = [f"probability_{name}" for name in model.classes_]
        predictions = predictions.join(pd.DataFrame(P, columns=names))
    as_csv = partial(predictions.to_csv, index=False, lineterminator="\n")
    if args.out is None:
        as_csv(sys.stdout)
    else:
        is_parquet = args.out.suffix.lower() in {".parquet", ".pq"}
        skreg.io.write_whole(args.out, predictions.to_parquet if is_parquet else as_csv)
    if model.target_ in table:
        classes = model.classes_
        labels = tables.classes(table[model.target_], classes)
        known = labels[labels.isin(classes)]
        _say(f"{len(known)} of {len(table)} rows are of a class that the model knows")
        if len(known):
            y = np.array(known.tolist(), dtype=classes.dtype)
            scores = {"network": _scores(y, P[known.index], classes)}
            _say(_lines(scores), sys.stdout if args.out else None)


# Arguments ----------------------------------------------------------------------------


def _parser() -> _Parser:
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--seed", type=int, help="of splits and networks (0)")
    shared.add_argument("--jobs", type=int, help="processes (one for each core, to 5)")
    shared.add_argument("--report", type=Path, metavar="FILE", help="an HTML file")
    about: dict[str, Any] = {"parents": [shared], "allow_abbrev": False}
    status = "Exit status: 0, 2 for an error, 130 for Ctrl-C."
    parser = _Parser(prog="skreg", description=__doc__, epilog=status, **about)
    jobs = min(5, joblib.cpu_count())
    parser.set_defaults(run=_demo, report=None, seed=0, jobs=jobs, scoring="auto")
    commands = parser.add_subparsers(metavar="{train,predict}", help="see their --help")
    train = commands.add_parser("train", description=_train.__doc__, **about)
    del about["parents"]
    predict = commands.add_parser("predict", description=_predict.__doc__, **about)
    predict.add_argument("model", metavar="MODEL", type=Path, help="what train saved")
    for each, run in (train, _train), (predict, _predict):
        each.set_defaults(run=run)
        add = each.add_argument
        add("table", metavar="TABLE", type=Path, help="CSV or Parquet, also packed")
        add("--separator", help="between cells; found by itself")
        add("--decimal", choices=".,", help="decimal point in text; found by itself")
        add("--encoding", help="of text (UTF-8, UTF-16 or cp1252)")
    add = train.add_argument
    add("--target", required=True, metavar="COLUMN", help="the classes")
    add("--out", type=Path, metavar="MODEL", help="file (TABLE's name with .skops)")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "COLUMN"}
    add("--drop", default=[], help="columns to leave out", **several)
    add("--keep", default=[], help="columns that are no identifiers", **several)
    scorers = ["auto", *metrics.get_scorer_names()]
    add("--scoring", choices=scorers, default="auto", metavar="NAME", help="(auto)")
    predict.add_argument("--out", type=Path, help="CSV or Parquet file (print CSV)")
    predict.add_argument("--probabilities", action="store_true", help="of each class")
    return parser


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
    if argv is None:
        # Before scikit-learn 1.7 worker processes do not get the filters of this one.
        os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning")
    where = ""
    try:
        args = _parser().parse_args(argv)
        where = f"{args.table}: " if "table" in args else ""
        # What is missing is said before anything is done.
        if args.report:
            report.pyplot()
        # Threads slow small networks down, and the search has its processes.
        with warnings.catch_warnings(action="ignore"), threadpool_limits(1):
            warnings.simplefilter("always", skreg.FitAdviceWarning)
            warnings.filterwarnings(
                "always", "", UserWarning, r"skreg\._command\.tables"
            )
            warnings.showwarning = lambda message, *_, **__: _say(f"note: {message}")
            args.run(args)
    except Exception as error:
        text = re.sub(r"\[Errno \d+\] ", "", " ".join(str(error).split()))
        _say(f"skreg: error: {where}{text[:2000] or type(error).__name__}")
        return 2
    except KeyboardInterrupt:
        _say("skreg: interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
