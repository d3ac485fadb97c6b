"""Compare our matching of lesions with panoptica's on random pairs: `compare_panoptica.py PYTHON`.

panoptica needs numpy < 2.3 and pandas < 3, so it can't live in this project's environment. PYTHON is the interpreter of another one:

    uv venv OTHER && uv pip install --python OTHER/bin/python panoptica
    python tools/compare_panoptica.py OTHER/bin/python

The pairs are drawn, labelled and matched here; the label maps go to the other environment in a file, where panoptica matches them too; what is compared is, for every
truth lesion, the number of the predicted lesion that it was given (0: none). Ends with 1 if any differs.
"""
import json, subprocess, sys, tempfile
from pathlib import Path

import numpy as np

RULES = [("MaxBipartiteMatching", 0.5), ("MaxBipartiteMatching", 0.2), ("NaiveThresholdMatching", 0.5)]
N_PAIRS = 50

def draw_pair(rng, shape=(24, 40, 40)):
    "A truth of about a dozen boxes, and a prediction that moves, shrinks, joins, drops and adds some."
    truth, pred = np.zeros(shape, bool), np.zeros(shape, bool)
    for i in range(16):
        size, drawn = rng.integers(2, 8, 3), rng.random()
        at = [int(rng.integers(0, n - s)) for n, s in zip(shape, size)]
        moved = np.clip(np.array(at) + rng.integers(-1, 2, 3), 0, np.array(shape) - size)
        end = size - rng.integers(0, 2, 3)
        if drawn < .85: truth[tuple(slice(a, a + s) for a, s in zip(at, size))] = True
        if drawn > .2: pred[tuple(slice(a, a + s) for a, s in zip(moved, end))] = True
    return truth, pred

def ours(truth, pred, threshold):
    "The predicted lesion of each truth lesion under our one-to-one rule, 0 for none."
    from bonemets.agreement import match_lesions
    universe = match_lesions(dict(truth=truth, pred=pred), rule=26, match="one_to_one", iou_threshold=threshold)
    return [own[0] if own else 0 for own in universe.loc[universe.truth, "pred_lesion"]]

def theirs(file):
    "The same by panoptica; runs in its environment and prints JSON."
    import panoptica
    from panoptica.utils.processing_pair import UnmatchedInstancePair
    pairs, out = np.load(file), {}
    for rule, threshold in RULES:
        for i in range(N_PAIRS):
            truth, pred = pairs[f"truth{i}"], pairs[f"pred{i}"]
            matcher = getattr(panoptica, rule)(matching_threshold=threshold)
            done = matcher.match_instances(UnmatchedInstancePair(prediction_arr=pred.copy(), reference_arr=truth.copy())).prediction_arr
            given = {int(done[pred == p][0]): int(p) for p in np.unique(pred[pred > 0])}
            out[f"{rule} {threshold} {i}"] = [given.get(int(t), 0) for t in np.unique(truth[truth > 0])]
    from importlib.metadata import version
    print(json.dumps(dict(version=version("panoptica"), matched=out)))

def compare(python):
    "Print one line a rule; True if all agree."
    from bonemets.lesions import label_lesions
    rng = np.random.default_rng(0)
    pairs = [draw_pair(rng) for _ in range(N_PAIRS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"pairs.npz"
        np.savez_compressed(file, **{f"{name}{i}": label_lesions(mask, 26)[0] for i, pair in enumerate(pairs) for name, mask in zip(("truth", "pred"), pair)})
        done = subprocess.run([python, "-I", __file__, "--inside", str(file)], capture_output=True, text=True)
    if done.returncode: sys.exit(f"panoptica could not be run by the interpreter given:\n{done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    good = True
    for rule, threshold in RULES:
        both = [(ours(*pair, threshold), answer["matched"][f"{rule} {threshold} {i}"]) for i, pair in enumerate(pairs)]
        n_same, n_lesions, n_matched = sum(a == b for a, b in both), sum(len(a) for a, _ in both), sum(np.count_nonzero(a) for a, _ in both)
        print(f"panoptica {answer['version']} {rule}, IoU {threshold}: {n_same} of {N_PAIRS} pairs agree in every lesion; {n_matched} of {n_lesions} truth lesions matched")
        good &= n_same == N_PAIRS
    return good

if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]: theirs(sys.argv[2])
    elif len(sys.argv) == 2: sys.exit(not compare(sys.argv[1]))
    else: sys.exit(__doc__)
