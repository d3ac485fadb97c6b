"""Compare our panoptic quality with panoptica's on random pairs: `compare_panoptic_quality.py PYTHON`.

PYTHON is the interpreter of an environment with panoptica, as `compare_panoptica.py` says. The same 50 pairs are drawn, labelled and scored here; the label maps go to the other environment
in a file. What is compared: the counts of matched lesions, false positives and misses, and PQ, SQ and RQ. Ends with 1 if any differs.
"""
import json, subprocess, sys, tempfile
from pathlib import Path

import numpy as np

N_PAIRS = 50
THRESHOLD = 0.5 + 1e-9  # panoptica matches from a threshold on, panoptic quality above 0.5, and an IoU of exactly 0.5 is not rare among small boxes
NAMES = dict(n_matched="tp", n_false_positive="fp", n_missed="fn", pq="pq", sq="sq", rq="rq")  # ours: theirs

def theirs(file):
    "Counts and qualities by panoptica; runs in its environment and prints JSON."
    from importlib.metadata import version
    from panoptica import InputType, NaiveThresholdMatching, Panoptica_Evaluator
    evaluator = Panoptica_Evaluator(expected_input=InputType.UNMATCHED_INSTANCE, instance_matcher=NaiveThresholdMatching(matching_threshold=THRESHOLD))
    pairs, out = np.load(file), []
    for i in range(N_PAIRS):
        result = evaluator.evaluate(prediction_arr=pairs[f"pred{i}"], reference_arr=pairs[f"truth{i}"], verbose=False)
        out.append([float(getattr(next(iter(result.values())) if isinstance(result, dict) else result, name)) for name in NAMES.values()])
    print(json.dumps(dict(version=version("panoptica"), scores=out)))

def compare(python):
    "Print what agrees; True if all do."
    from bonemets.froc import panoptic_quality
    from bonemets.lesions import label_lesions
    from compare_panoptica import draw_pair
    rng = np.random.default_rng(0)
    pairs = [[label_lesions(mask, 26)[0] for mask in draw_pair(rng)] for _ in range(N_PAIRS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"pairs.npz"
        np.savez_compressed(file, **{f"{name}{i}": labels for i, pair in enumerate(pairs) for name, labels in zip(("truth", "pred"), pair)})
        done = subprocess.run([python, "-I", __file__, "--inside", str(file)], capture_output=True, text=True)
    if done.returncode: sys.exit(f"panoptica could not be run by the interpreter given:\n{done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    ours = np.array([[panoptic_quality(*pair, iou=THRESHOLD)[name] for name in NAMES] for pair in pairs])
    gap = np.abs(np.nan_to_num(ours) - np.nan_to_num(np.array(answer["scores"])))
    n_same = int((gap[:, :3].max(1) == 0).sum())
    print(f"panoptica {answer['version']}, IoU above 0.5: {n_same} of {N_PAIRS} pairs agree in matched, false and missed lesions ({int(ours[:, 0].sum())} matched in all); "
          f"largest difference in PQ, SQ and RQ {gap[:, 3:].max():.0e}")
    return n_same == N_PAIRS and gap.max() < 1e-9

if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]: theirs(sys.argv[2])
    elif len(sys.argv) == 2: sys.exit(not compare(sys.argv[1]))
    else: sys.exit(__doc__)
