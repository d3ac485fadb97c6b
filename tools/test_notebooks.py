"""Test every notebook with nbdev's `test_nb`, each in a process of its own; ends with `N passed, N failed`, counting notebooks.

A cell whose first lines carry a flag of `tst_flags` (slow, gpu, notest) does not run; how many do not is printed.
`test_notebooks.py NAME...` tests those only; `--flags "slow"` runs cells with that flag too.
"""
import argparse, os, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def config():
    "settings.ini as nbdev reads it."
    from nbdev.config import get_config
    return get_config()

def code_cells(path):
    "The code cells' directives: one set of names a cell, and whether the cell may run at all."
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor
    nb = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    skipped = str(getattr(nb, "frontmatter_", {}).get("skip_exec", "")).lower() == "true"
    for cell in nb.cells:
        if cell.cell_type != "code" or not cell.source.strip(): continue
        directives = cell.directives_ or {}
        yield set(directives), skipped or directives.get("eval:", [""])[0].lower() == "false"

def test_one(path, flags):
    "Run one notebook in this process; exits with 0 if it passed."
    os.chdir(ROOT/"nbs")
    from nbdev.test import test_nb
    ok, _ = test_nb(Path(path), skip_flags=config().tst_flags.split(), force_flags=flags, basepath=ROOT)
    sys.exit(not ok)

def environment(workers):
    "The cores shared out among the workers, no window system, no look-ups of model weights, and this checkout's package."
    threads = str(max(1, (os.cpu_count() or 1)//workers))
    limits = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    env = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "DISPLAY")}
    return {**env, **limits, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}

def start(path, flags, env, minutes):
    "Test `path` in a new process, for so many minutes at most: seconds, and what it printed if it failed (None if it passed)."
    begin = time.time()
    command = [sys.executable, "-P", __file__, "--one", str(path), "--flags", " ".join(flags)]
    try: done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60*minutes)
    except subprocess.TimeoutExpired: return time.time()-begin, f"stopped after {minutes:g} minutes"
    text = None if done.returncode == 0 else f"{done.stdout}\n(exit status {done.returncode})"
    return time.time()-begin, text

def select(names):
    "The notebooks to test: all that nbdev sees, or those whose file name or stem is in `names`."
    from nbdev.doclinks import nbglob
    files = sorted(Path(f).resolve() for f in nbglob(ROOT/"nbs", as_path=True))
    if not names: return files
    known = {n: f for f in files for n in (f.name, f.stem)}
    wanted = [Path(n).name for n in names]
    unknown = [n for n in wanted if n not in known]
    if unknown: raise SystemExit(f"no notebook {', '.join(unknown)} in nbs/")
    return sorted({known[n] for n in wanted})

def survey(files, flags):
    "Split `files` into those with a cell to run and the others; count the cells that each flag keeps from running."
    stop = set(config().tst_flags.split()) - set(flags)
    runnable, idle, counts = [], [], {}
    for f in files:
        cells = list(code_cells(f))
        for directives, never in cells:
            for name in sorted(directives & stop)[:1] or (["eval: false"] if never else []): counts.setdefault(name, []).append(f.name)
        (runnable if any(not never and not directives & stop for directives, never in cells) else idle).append(f)
    return runnable, idle, counts

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks; all by default")
    parser.add_argument("--flags", default="", help="flags whose cells run too")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--minutes", type=float, default=30, help="how long a notebook may take")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    flags = args.flags.split()
    if args.one: test_one(args.names[0], flags)
    os.chdir(ROOT)
    runnable, idle, counts = survey(select(args.names), flags)
    runnable.sort(key=lambda f: f.stat().st_size, reverse=True)   # the large ones first, so that no long one is left over at the end
    env, failed, begin = environment(args.workers), [], time.time()
    print(f"testing {len(runnable)} notebooks, {args.workers} at a time", flush=True)
    with ThreadPoolExecutor(args.workers) as pool:
        jobs = {pool.submit(start, f, flags, env, args.minutes): f for f in runnable}
        for job in as_completed(jobs):
            (seconds, text), name = job.result(), jobs[job].relative_to(ROOT/"nbs")
            print(f"{'FAILED' if text else 'passed'} {seconds:6.1f} s  {name}", flush=True)
            if text: failed.append(str(name)); print(text, flush=True)
    for name in sorted(counts): print(f"not run, flagged {name}: {len(counts[name])} cells in {len(set(counts[name]))} notebooks ({', '.join(sorted(set(counts[name])))})")
    if idle: print(f"nothing to run in: {', '.join(f.name for f in idle)}")
    if failed: print(f"failed: {', '.join(sorted(failed))}")
    print(f"{time.time()-begin:.0f} s")
    if not runnable: print("no notebook was run: that is a failure", file=sys.stderr)
    sys.stderr.flush()
    print(f"{len(runnable)-len(failed)} passed, {len(failed)} failed", flush=True)
    sys.exit(bool(failed) or not runnable)

if __name__ == "__main__": main()
