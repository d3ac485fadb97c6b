"""Make `.venv` hold the tested set (constraints.txt), this package and pyradiomics; nothing to do where nothing changed.

Run by `make setup` with any Python 3.11 to 3.13 that has venv. The stamp in `.venv` is written last and removed first, so a
set-up that was cut short is never taken for a finished one. `--newest` leaves constraints.txt out: the newest versions of all.
"""
import argparse, hashlib, os, shutil, subprocess, sys, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV, CONSTRAINTS = ROOT/".venv", ROOT/"constraints.txt"
PYTHON, UV_BIN, STAMP = VENV/"bin"/"python", VENV/"bin"/"uv", VENV/".setup-stamp"
KEYED = ["constraints.txt", "settings.ini", "setup.py", "pyproject.toml", "tools/requirements.py", "tools/build_pyradiomics.py", "tools/setup_env.py"]
UV = "0.13.9"
IMPORTS = "import numpy, pandas, scipy, SimpleITK, torch, torchvision, fastai, timm, monai, nbdev, radiomics, bonemets"

def say(text): print(f"setup: {text}", flush=True)

def stamp_key(newest):
    "What a finished set-up depends on: the files it read, the Python, where the checkout lies (scripts hold that path)."
    h = hashlib.sha256(f"{sys.version_info[:2]} {ROOT} newest={newest}".encode())
    for name in KEYED: h.update((ROOT/name).read_bytes())
    return h.hexdigest()

def venv_version():
    "`(major, minor)` of the environment's own Python, None where it does not start."
    try: done = subprocess.run([PYTHON, "-I", "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    except OSError: return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None

def venv_sound():
    "Whether `.venv` can be used further: its Python starts, is ours, was made here, and uv is in it."
    script = VENV/"bin"/"activate"
    return script.exists() and str(VENV) in script.read_text(encoding="utf-8") and venv_version() == sys.version_info[:2] and UV_BIN.exists() and os.access(UV_BIN, os.X_OK)

def pip_setting(name):
    "A setting of pip's, from its files or the environment: uv reads neither."
    command = [PYTHON, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    values = {k: v.strip("'\"") for k, _, v in (line.partition("=") for line in lines)}
    return next((values[f"{section}.{name}"] for section in (":env:", "install", "global") if f"{section}.{name}" in values), None)

def plain_environment():
    "The user's environment without what would mix other packages or pins in."
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_CONSTRAINT", "PIP_CONSTRAINT")}

def uv_environment():
    "The environment for uv: pip's index and certificates where the user gave uv none of its own."
    env = plain_environment()
    for variable, name in (("UV_DEFAULT_INDEX", "index-url"), ("SSL_CERT_FILE", "cert")):
        value = None if variable in env or "UV_INDEX_URL" in env else pip_setting(name)
        if value: env[variable] = value
    env.setdefault("UV_HTTP_TIMEOUT", "300")
    env["UV_PYTHON_DOWNLOADS"] = "never"
    return env

def run(*command, env):
    done = subprocess.run([str(c) for c in command], cwd=ROOT, env=env)
    if done.returncode: raise SystemExit(f"setup: this step failed, nothing is marked as done; mend it and run make again:\n  {' '.join(map(str, command))}")

def make_venv():
    env, base = plain_environment(), getattr(sys, "_base_executable", sys.executable)
    if VENV.is_symlink() or VENV.is_file(): VENV.unlink()
    elif VENV.exists(): say("removing a .venv that is unfinished, moved or of another Python"); shutil.rmtree(VENV)
    say(f"creating .venv with Python {sys.version.split()[0]}")
    run(base, "-m", "venv", VENV, env=env)
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={UV}", env=env)

def install(env, newest):
    sys.path.insert(0, str(ROOT/"tools"))
    from requirements import read_requirements
    wanted = sorted({r for rs in read_requirements(ROOT/"settings.ini").values() for r in rs})
    pip = [UV_BIN, "pip", "install", "--python", PYTHON]
    rule = ["--upgrade"] if newest else ["-c", CONSTRAINTS]
    say("installing the newest version of every dependency" if newest else "installing the versions of constraints.txt (some GB the first time)")
    run(*pip, *rule, *wanted, env=env)
    run(*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT, env=env)
    run(PYTHON, ROOT/"tools"/"build_pyradiomics.py", env=env)
    run(UV_BIN, "pip", "check", "--python", PYTHON, env=env)
    run(PYTHON, "-W", "ignore", "-c", IMPORTS, env=env)

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--newest", action="store_true", help="without constraints.txt")
    newest = parser.parse_args().newest
    if not (3, 11) <= sys.version_info[:2] <= (3, 13): raise SystemExit(f"setup: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}")
    key, sound = stamp_key(newest), venv_sound()
    if sound and STAMP.exists() and STAMP.read_text() == key: return say("nothing changed, .venv is ready")
    STAMP.unlink(missing_ok=True)
    start = time.time()
    if not sound: make_venv()
    install(uv_environment(), newest)
    STAMP.write_text(key)
    say(f"done in {time.time()-start:.0f} s")

if __name__ == "__main__": main()
