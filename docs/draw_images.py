"""Draw the pictures of the pages: python docs/draw_images.py [folder]

It runs ``docs/examples/plot_choosing.py`` and saves each of its figures under the
figure's own name, in ``docs/images`` or in the folder.
"""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

DOCS = Path(__file__).resolve().parent


def main(folder: Path) -> None:
    """Run the example and save its figures."""
    # Without windows the figures stay open after plt.show().
    plt.switch_backend("agg")
    runpy.run_path(str(DOCS / "examples" / "plot_choosing.py"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in plt.get_figlabels():
        path = folder / f"{name}.png"
        plt.figure(name).savefig(path, dpi=100)
        # A palette of 128 colours makes the file a third as large.
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "images")
