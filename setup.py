"Packaging, driven by settings.ini as nbdev does it."
from configparser import ConfigParser
from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
words = lambda key: cfg.get(key, "").split()
extras = {name: words(f"{name}_requirements") for name in ("nnunet", "explain", "notebook", "radiomics", "cluster", "remote", "itk", "dev", "bench")}
extras["all"] = sorted({r for name in ("nnunet", "explain", "notebook", "radiomics", "cluster", "remote") for r in extras[name]})
minors = range(int(cfg["min_python"].split(".")[1]), 14)

setup(
    name=cfg["lib_name"], version=cfg["version"], license="Apache-2.0",
    description=cfg["description"], keywords=cfg["keywords"], url=cfg["git_url"],
    author=cfg["author"], author_email=cfg["author_email"],
    long_description=open("README.md", encoding="utf-8").read(), long_description_content_type="text/markdown",
    packages=find_packages(include=["bonemets", "bonemets.*"]), include_package_data=True, zip_safe=False,
    python_requires=f">={cfg['min_python']}", install_requires=words("requirements"), extras_require=extras,
    classifiers=["Development Status :: 3 - Alpha", "Intended Audience :: Science/Research", "Natural Language :: English",
                 *(f"Programming Language :: Python :: 3.{minor}" for minor in minors)],
    entry_points={"console_scripts": words("console_scripts"), "nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"]},
)
