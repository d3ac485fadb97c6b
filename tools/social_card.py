"""Draw nbs/images/social-card.png, the picture that a link to the site shows elsewhere: a phantom's CT seen from the front, its lesions outlined, and what bonemets is."""
import io, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from bonemets.phantom import make_case

TARGET = ROOT/"nbs"/"images"/"social-card.png"
PAPER, INK, GREY, RED = "#10161d", "#f5f3ee", "#9fb0c0", "#ff6b45"

def draw(target=TARGET):
    "Write the card, 1200 by 630 pixels."
    ct, mask, _ = make_case(seed=5, shape=(192, 176, 224), spacing_mm=(3, 2, 2), n_lesions=8)
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
    tint = LinearSegmentedColormap.from_list("tint", [PAPER, "#3d4d5c", "#b9c2c6", INK])
    picture = figure.add_axes((0.45, 0.03, 0.53, 0.94))
    bright = ct.array.clip(-100, 700).max(axis=1)
    depth = ct.array.clip(-100, 700).mean(axis=1)
    picture.imshow(0.55*bright + 1.6*depth, cmap=tint, origin="lower", aspect=3/2, interpolation="bilinear")
    picture.contour(mask.array.any(axis=1), levels=[0.5], colors=RED, linewidths=2.6)
    picture.set_axis_off()
    figure.text(0.055, 0.60, "bonemets", color=INK, fontsize=58, weight="bold")
    figure.text(0.058, 0.43, "Detect, segment and characterise\nbone metastases on CT", color=INK, fontsize=21, linespacing=1.4)
    figure.text(0.058, 0.14, "Here: a synthetic CT, its lesions outlined", color=GREY, fontsize=14)
    drawn = io.BytesIO()
    figure.savefig(drawn, facecolor=PAPER)
    plt.close(figure)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(40, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)   # few colours: at most 100 kB

if __name__ == "__main__": draw(); print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size/1000:.0f} kB")
