"""Write README.md from nbs/index.ipynb with nbconvert, without Quarto; `--check` only says whether it is up to date.

Directives, hidden cells and the front matter go; links between pages lead to the documentation site; a figure that a cell shows
is left out with a link to the page that shows it, so that the README is one file.
"""
import re, sys
from configparser import ConfigParser
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Generated from nbs/index.ipynb by `make readme`; edit that. -->\n\n"
HIDDEN = re.compile(r"^#\|\s*(hide|exports?\s*$|default_exp|include:\s*false)", re.M)
FIGURES = ("image/png", "image/jpeg", "image/svg+xml", "text/html")

def site():
    config = ConfigParser(delimiters=["="])
    config.read(ROOT/"settings.ini", encoding="utf-8")
    return config["DEFAULT"]["doc_host"] + config["DEFAULT"]["doc_baseurl"]

def visible(cell):
    "The cell as a reader sees it, None where it is hidden."
    if cell.cell_type != "code": return cell if cell.source.strip() else None
    if HIDDEN.search(cell.source) or not cell.source.strip(): return None
    echo = not re.search(r"^#\|\s*echo:\s*false", cell.source, re.M)
    cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M) if echo else ""
    return cell

def without_figures(cell):
    "Outputs as text; a figure becomes a link to the page."
    figure = False
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        figure |= any(kind.startswith("image/") for kind in data)
        if any(kind.startswith("image/") for kind in data): data.clear()
        for kind in FIGURES: data.pop(kind, None)
    cell.outputs = [o for o in cell.get("outputs", []) if o.get("data", True)]
    return figure

def link(text):
    "Links between notebooks lead to the site's pages, pictures to their files."
    def page(m): return f"]({site()}/{re.sub(r'(^|/)[0-9]+[a-zA-Z0-9]*_', chr(92)+'1', m[1])}.html{m[2] or ''})"
    text = re.sub(r"\]\((images/[\w.-]+)\)", r"](nbs/\1)", text)        # the same picture, from the repository's root
    return re.sub(r"\]\((?!https?:)([\w/.-]+)\.ipynb(#[\w-]+)?\)", page, text)

def readme():
    notebook = nbformat.read(ROOT/"nbs"/"index.ipynb", as_version=4)
    cells = []
    for cell in filter(None, map(visible, notebook.cells)):
        if cell.cell_type == "code" and without_figures(cell):
            cells += [cell, nbformat.v4.new_markdown_cell(f"*The picture that this gives is on [the documentation site]({site()}).*")]
        elif cell.cell_type == "code": cells.append(cell)
        else: cell.source = link(cell.source); cells.append(cell)
    notebook.cells = [c for c in cells if c.cell_type != "code" or c.source or c.outputs]
    notebook.metadata["language_info"] = {"name": "python"}
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

def main():
    new, path = readme(), ROOT/"README.md"
    if "--check" not in sys.argv[1:]: path.write_text(new, encoding="utf-8"); return
    if not path.exists() or path.read_text(encoding="utf-8") != new: raise SystemExit("README.md does not say what nbs/index.ipynb says; run: make readme")
    print("README.md is up to date")

if __name__ == "__main__": main()
