"""Build and install pyradiomics into the Python that runs this file: `python tools/build_pyradiomics.py`.

pyradiomics 3.0.1 publishes no wheel for Python >= 3.10. Its build imports NumPy and versioneer, so it runs without build
isolation after those are installed. The versioneer.py beside its setup.py calls `configparser.SafeConfigParser` and `readfp`,
which Python 3.12 removed: for this one build (and no other process) a folder on PYTHONPATH gives both names back.
"""
import importlib.util, os, shutil, subprocess, sys, tempfile
from pathlib import Path

VERSION = "3.0.1"
NEEDED = ["numpy", "setuptools", "wheel", "versioneer", "pywt", "six", "pykwalify", "SimpleITK"]  # modules: of its build, then of its import
SHIM = '''"Names that Python 3.12 took from configparser, for the build of pyradiomics only."
import configparser
if not hasattr(configparser, "SafeConfigParser"): configparser.SafeConfigParser = configparser.RawConfigParser
if not hasattr(configparser.RawConfigParser, "readfp"): configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
'''

def installed():
    "Whether this version is installed with its compiled parts; asked in a new process, so that an import is a real one."
    code = f"import radiomics, radiomics._cmatrices, radiomics._cshape, importlib.metadata as m; assert m.version('pyradiomics') == '{VERSION}'"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0

def installer():
    "uv where this environment has it (it builds with its cache), else pip."
    uv = Path(sys.executable).with_name("uv")
    uv = str(uv) if uv.exists() else shutil.which("uv")
    if uv: return [uv, "pip", "install", "--python", sys.executable, "--no-build-isolation", "--no-deps", "--no-binary", "pyradiomics"]
    return [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-binary", "pyradiomics"]

def build():
    missing = [m for m in NEEDED if importlib.util.find_spec(m) is None]
    if missing: raise SystemExit(f"{', '.join(missing)} not found; install first: pip install 'bonemets[radiomics]' setuptools wheel versioneer")
    with tempfile.TemporaryDirectory() as shim:
        Path(shim, "sitecustomize.py").write_text(SHIM, encoding="utf-8")
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [shim, os.environ.get("PYTHONPATH")])))
        return subprocess.run([*installer(), f"pyradiomics=={VERSION}"], env=env).returncode

def main():
    if installed(): return print(f"pyradiomics {VERSION} is there")
    if build() or not installed(): raise SystemExit(f"pyradiomics {VERSION} could not be built: a C compiler (gcc or clang) is needed, and the message above says the rest")
    print(f"pyradiomics {VERSION} built")

if __name__ == "__main__": main()
