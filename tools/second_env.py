"""Make a second environment outside the checkout and install a wheel with its plain requirements: `second_env.py FOLDER WHEEL`."""
import sys
from pathlib import Path

import setup_env as env

def main(folder, wheel):
    env.run(env.UV_BIN, "venv", "--quiet", "--python", env.PYTHON, folder, env=env.uv_environment())
    newest = env.STAMP.exists() and env.STAMP.read_text() == env.stamp_key(True)
    rule = [] if newest else ["-c", env.CONSTRAINTS]
    env.run(env.UV_BIN, "pip", "install", "--quiet", "--python", Path(folder)/"bin"/"python", *rule, wheel, env=env.uv_environment())

if __name__ == "__main__": main(*sys.argv[1:])
