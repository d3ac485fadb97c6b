"""Draw nbs/images/overview.jpg, the picture at the head of README.md: lesions of a phantom as a graph on the skeleton, and a slice with outlines. `overview_picture.py [FILE]`."""
import sys, tempfile
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bonemets.agreement import made_up_prediction, match_lesions
from bonemets.explorer import _NODE, draw_lesion_map, lesion_kinds, project_skeleton
from bonemets.phantom import make_case
from bonemets.viewer import SHOWN_AS, draw_slice

ROOT = Path(__file__).resolve().parents[1]

def main(path=ROOT/"nbs"/"images"/"overview.jpg"):
    ct, mask, bones = make_case(seed=11, shape=(150, 220, 220), spacing_mm=(3.4, 1.75, 1.75), n_lesions=12)
    pred = made_up_prediction(mask.array, bones.array, 5, drop=.45, invent=5)
    universe = match_lesions({"truth": mask.array, "method": pred}, spacing_mm=ct.spacing_mm, bones=bones.array)
    universe["kind"] = lesion_kinds(universe, "method")
    graph, _ = draw_lesion_map(project_skeleton(ct.array, ct.spacing_mm, 640), universe, ct.shape, ct.spacing_mm)
    z = int((mask.array & (pred > 0)).sum((1, 2)).argmax())
    view = draw_slice(ct.array, ct.spacing_mm, "axial", z, masks={"truth": mask.array, "method": pred}, size=640)
    fig, axes = plt.subplots(1, 2, figsize=(9.2, 4.9), dpi=100, width_ratios=[graph.width/graph.height, view.width/view.height], facecolor="black", layout="constrained")
    for ax, image in zip(axes, (graph, view)): ax.imshow(image); ax.axis("off")
    marks = dict(found="o", missed="o", **{"false positive": "s"})
    nodes = [plt.Line2D([], [], ls="", marker=m, ms=9, mec=[c/255 for c in _NODE[k][0]], mew=2, mfc="none" if k == "missed" else [c/255 for c in _NODE[k][0]], label=k) for k, m in marks.items()]
    lines = [plt.Line2D([], [], color=[c/255 for c in rgb], lw=2, ls=ls, label=name) for name, (rgb, _), ls in zip(("truth", "a method"), SHOWN_AS, ("-", (0, (3, 1))))]
    for ax, handles in zip(axes, (nodes, lines)): ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(.5, -.01), ncols=3, fontsize=11, labelcolor="w", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, pil_kwargs=dict(quality=80), facecolor="black")

if __name__ == "__main__": main(*(Path(a) for a in sys.argv[1:2]))
