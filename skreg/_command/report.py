"""The report of a training, as one HTML file."""

import base64
import html
import io
from pathlib import Path
from typing import Any

from sklearn import calibration, inspection, metrics

from skreg._plots.common import pyplot
from skreg._plots.curves import LossCurveDisplay
from skreg._plots.grid import RegularizationGridDisplay
from skreg.io import write_whole

__all__ = ["pyplot", "write"]

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

    P, classes, png = model.predict_proba(X), model.classes_, io.BytesIO()
    # $ in a name is no formula.
    with rc_context({"text.parse_math": False}):
        whole = figure.Figure(figsize=(5, 24), layout="constrained")
        panels: Any = whole.subfigures(5)
        search, loss, reliability, confusion, bars = (p.subplots() for p in panels)
        RegularizationGridDisplay.from_estimator(model, ax=search)
        LossCurveDisplay.from_estimator(model, ax=loss)
        # Of two classes one says it all, and of many a picture shows ten.
        for k in [1] if len(classes) == 2 else range(min(len(classes), 10)):
            draw = calibration.CalibrationDisplay.from_predictions
            draw(y == classes[k], P[:, k], name=classes[k], ax=reliability)
        metrics.ConfusionMatrixDisplay.from_estimator(model, X, y, ax=confusion)
        # More columns would take long, since each is permuted where it goes in.
        if X.shape[1] <= 100:
            rise = inspection.permutation_importance(
                model, X, y, scoring="neg_log_loss", random_state=0
            )
            order = rise.importances_mean.argsort()[-20:]
            bars.barh(X.columns[order], rise.importances_mean[order])
        bars.set_title("Rise of the log-loss where\na column is permuted")
        whole.savefig(png, dpi=140)
    title, _, text = html.escape(text).partition("\n")
    picture = base64.b64encode(png.getvalue()).decode()
    page = PAGE.format(title=title, text=text, picture=picture)
    write_whole(path, lambda file: file.write(page.encode(errors="backslashreplace")))
