"""The report of a training, as one HTML file."""

import base64
import html
import io
from pathlib import Path
from typing import Any

from sklearn import metrics
from sklearn.calibration import CalibrationDisplay
from sklearn.inspection import permutation_importance

from skreg._plots.curves import LossCurveDisplay
from skreg._plots.grid import RegularizationGridDisplay
from skreg.io import write_whole

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 1rem/1.5 sans-serif; max-width: 50rem; margin: auto; padding: 1rem }}
img {{ max-width: 100% }} pre {{ overflow-x: auto; font-size: .8rem }}</style>
<h1>{title}</h1><pre>{text}</pre>
<img alt="The search, losses, calibration, confusion matrix and permutation importance"
src="data:image/png;base64,{picture}">"""


def write(path: Path, text: str, model: Any, X: Any, y: Any) -> None:
    """Write the text, and pictures of a pipeline that searches, on held-out rows."""
    from matplotlib import figure, rc_context

    whole, png = figure.Figure(figsize=(5, 24), layout="constrained"), io.BytesIO()
    panels: Any = whole.subfigures(5)
    search, loss, calibration, confusion, importance = (p.subplots() for p in panels)
    RegularizationGridDisplay.from_estimator(model, ax=search)
    LossCurveDisplay.from_estimator(model, ax=loss)
    of_classes = list(zip(model.classes_, model.predict_proba(X).T, strict=True))
    # Of two classes one says it all, and of many a picture shows ten.
    for label, p in of_classes[len(of_classes) == 2 :][:10]:
        CalibrationDisplay.from_predictions(y == label, p, name=label, ax=calibration)
    metrics.ConfusionMatrixDisplay.from_estimator(model, X, y, ax=confusion)
    rise = permutation_importance(model, X, y, scoring=_score, random_state=0)
    order = rise.importances_mean.argsort()[-20:]
    importance.barh(X.columns[order], rise.importances_mean[order])
    importance.set_title("Rise of the log-loss where\na column is permuted")
    # $ in a name is no formula.
    with rc_context({"text.parse_math": False}):
        whole.savefig(png, dpi=140)
    title, _, text = html.escape(text).partition("\n")
    picture = base64.b64encode(png.getvalue()).decode()
    page = PAGE.format(title=title, text=text, picture=picture)
    write_whole(path, lambda file: file.write(page.encode()))


def _score(model: Any, X: Any, y: Any) -> float:
    return -float(metrics.log_loss(y, model.predict_proba(X), labels=model.classes_))
