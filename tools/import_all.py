"""Import every module of the installed bonemets; fails if one cannot be imported or comes from the checkout: `import_all.py CHECKOUT`."""
import importlib, pkgutil, sys
from pathlib import Path

def main(checkout):
    import bonemets
    names = ["bonemets", *(m.name for m in pkgutil.walk_packages(bonemets.__path__, "bonemets."))]
    failed = []
    for name in names:
        try: module = importlib.import_module(name)
        except Exception as e: failed.append(f"{name}: {type(e).__name__}: {e}"); continue
        if Path(checkout).resolve() in Path(module.__file__).resolve().parents: failed.append(f"{name}: imported from the checkout, {module.__file__}")
    print(f"{len(names)-len(failed)} of {len(names)} modules imported from the wheel", *failed, sep="\n")
    sys.exit(bool(failed) or len(names) < 2)

if __name__ == "__main__": main(sys.argv[1])
