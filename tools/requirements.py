"""Print the requirements of settings.ini, one a line: `requirements.py` the runtime's, `requirements.py dev explain` with those extras, `--all` everything."""
import sys
from configparser import ConfigParser
from pathlib import Path

SUFFIX = "_requirements"
UNTESTED = ("itk",)   # extras outside the tested set: neither pinned nor installed by make setup

def read_requirements(path):
    "Requirements by extra; the runtime's stand under the empty string."
    config = ConfigParser(delimiters=["="])
    if not config.read(path, encoding="utf-8"): raise SystemExit(f"{path} is not there: run this in a checkout")
    section = config["DEFAULT"]
    extras = {key.removesuffix(SUFFIX): value.split() for key, value in section.items() if key.endswith(SUFFIX) and key.removesuffix(SUFFIX) not in UNTESTED}
    return {"": section["requirements"].split(), **extras}

def main(args):
    known = read_requirements(Path(__file__).resolve().parents[1]/"settings.ini")
    extras = sorted(known) if "--all" in args else ["", *args]
    unknown = [e for e in extras if e not in known]
    if unknown: raise SystemExit(f"no extra {', '.join(unknown)} in settings.ini; there are {', '.join(sorted(filter(None, known)))}")
    print(*dict.fromkeys(r for e in extras for r in known[e]), sep="\n")

if __name__ == "__main__": main(sys.argv[1:])
