"""Check the documentation site without Quarto: process each page as nbdev does, render it, and follow each link, anchor, picture and citation.

Prints one line a fault and then their number, with exit status 1; without faults one line that says what was checked. External links are checked for their form only.
"""
import os, re, sys, tempfile, time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from configparser import ConfigParser
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/"tools")]   # this checkout's package, also in the worker processes

import yaml

import docs_pages

@dataclass
class Site:
    "What the pages are held against."
    root: Path                                      # the repository
    pages: list                                     # its pages and Markdown files, as docs_pages.Page
    config: dict                                    # _quarto.yml
    url: str = "https://example.org"                # where the site is published
    repository: str = "https://example.org/code"    # where a file of the repository is shown: …/blob/main
    by_name: dict = field(init=False)
    by_output: dict = field(init=False)

    def __post_init__(self):
        self.by_name = {p.name: p for p in self.pages if p.output}
        self.by_output = {p.output: p for p in self.pages if p.output}

def notebooks(root):
    "The pages that nbdev sees: notebooks under nbs/, none in hidden folders."
    found = sorted((root/"nbs").rglob("*.ipynb"))
    return [p for p in found if not any(part.startswith((".", "_")) for part in p.relative_to(root/"nbs").parts)]

def read_site(root, pages):
    "The site of a repository: `pages`, with what settings.ini and _quarto.yml say."
    config = ConfigParser(delimiters=["="])
    config.read(root/"settings.ini", encoding="utf-8")
    s = config["DEFAULT"]
    quarto = yaml.safe_load((root/"_quarto.yml").read_text(encoding="utf-8"))
    return Site(root, pages, quarto, s["doc_host"] + s["doc_baseurl"], f"{s['git_url']}/blob/{s['branch']}")

def sidebar_entries(items):
    "All files that a sidebar lists, at any depth."
    for item in items:
        if isinstance(item, str): yield item; continue
        yield from filter(None, [item.get("href") or item.get("file")])
        yield from sidebar_entries(item.get("contents", []))

def sidebar_faults(site):
    "Pages that the sidebar does not list once, and entries without a page."
    listed = Counter(sidebar_entries(site.config["website"]["sidebar"]["contents"]))
    for name in site.by_name.keys() - listed.keys(): yield f"nbs/{name}: not in the sidebar; list it in _quarto.yml"
    for name in listed.keys() - site.by_name.keys(): yield f"_quarto.yml: the sidebar lists {name}, which is not under nbs/; add the page or take the entry out"
    for name, n in listed.items():
        if n > 1: yield f"_quarto.yml: the sidebar lists {name} {n} times; keep one"

def page_faults(site):
    "Pages that could not be made, that have no title, or that would overwrite one another."
    for page in site.pages:
        if page.error: yield f"nbs/{page.name}: nbdev or nbconvert cannot process it: {page.error}"
        elif page.output and not page.title: yield f"nbs/{page.name}: no title; begin with a cell that holds '# Title' and '> what the page is for'"
    for output, n in Counter(p.output for p in site.pages if p.output).items():
        if n > 1: yield f"nbs/: {n} pages would be {output} on the site ({', '.join(p.name for p in site.pages if p.output == output)}); rename one"

def inner_fault(site, page, path, anchor):
    "What is wrong with a link to `path` (relative to nbs/) and `anchor`; None if nothing is."
    target = site.by_name.get(path) or site.by_output.get(path)
    if target is None and (path.endswith(".html") or not (site.root/"nbs"/path).is_file()):
        other = [p for p in site.by_name.values() if docs_pages.output_name(path) == p.output]
        return f"no page or file {path}" + (f"; nbs/{other[0].name} is {other[0].output} on the site: link to the notebook" if other else "; mend or remove the link")
    if anchor and target and not target.error and unquote(anchor) not in target.ids:
        close = [i for i in sorted(target.ids) if anchor.lower()[:8] in i][:3]
        return f"no heading or name #{anchor} on {target.name}" + (f"; there is #{', #'.join(close)}" if close else "")

def link_fault(site, page, link):
    "What is wrong with one link; None if nothing is."
    if page.output == "" and link.startswith("#"): return None if link[1:] in page.ids else f"no heading {link}"
    for base, inside in ((site.url, "site"), (site.repository, "repository")):
        if not re.match(re.escape(base) + r"(?![\w-])", link): continue
        path, _, anchor = link[len(base):].strip("/").partition("#")
        if inside == "site": return inner_fault(site, page, path.rstrip("/") or "index.html", anchor)
        return None if (site.root/unquote(path)).exists() else f"the repository has no {path}"
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"): return None if re.fullmatch(r"[\w.-]+\.\w+(:\d+)?|localhost(:\d+)?", parts.netloc) and " " not in link else "not the form of a web address"
    if parts.scheme: return None if parts.scheme == "mailto" else f"links of kind {parts.scheme}: do not work on the site"
    path = unquote(parts.path)
    if not page.output: return None if (site.root/dirname(page.name)/path).exists() else f"no file {path}; mend or remove the link"
    path = path.lstrip("/") if path.startswith("/") else normpath(join(dirname(page.name), path)) if path else page.name
    if path.startswith("../"): return f"{path[3:]} lies outside nbs/, so the site does not hold it; link to {site.repository}/{path[3:]}"
    return inner_fault(site, page, path, parts.fragment)

def link_faults(site):
    "Links and anchors that lead nowhere."
    for page in site.pages:
        for link in dict.fromkeys(page.links):
            if fault := link_fault(site, page, link): yield f"{where(page)}: link {link}: {fault}"

def image_faults(site):
    "Pictures without a file or without alternative text."
    for page in site.pages:
        base = site.root/("nbs" if page.output else "")/dirname(page.name)
        for source, text in page.images:
            shown = source if len(source) < 80 else f"{source[:40]}… (an output)"
            if not text: yield f"{where(page)}: picture {shown} has no alternative text; write ![what it shows](file), or '#| fig-alt: what it shows' in its cell"
            if re.match(r"data:|https?://", source): continue
            path = site.root/"nbs"/source.lstrip("/") if source.startswith("/") else base/unquote(source)
            if not path.is_file(): yield f"{where(page)}: picture {shown}: no such file"

def bibliography(site):
    "The path of the site's own bibliography, None where it has none, and the keys in it."
    name = site.config.get("bibliography")
    path = site.root/"nbs"/(name or "references.bib")
    keys = re.findall(r"^\s*@(?!comment|string|preamble)\w+\s*\{\s*([^,\s]+)\s*,", path.read_text(encoding="utf-8"), re.M | re.I) if path.is_file() else []
    return (path if name else None), keys

def citation_faults(site):
    "Citations without an entry in the bibliography, entries that stand there twice, and pages that cite without one."
    path, keys = bibliography(site)
    if path and not path.is_file(): yield f"_quarto.yml: bibliography: no file nbs/{path.name}; add it, or take the line out"
    for key, n in Counter(keys).items():
        if n > 1: yield f"nbs/references.bib: {n} entries {key}; keep one"
    for page in site.pages:
        for key in dict.fromkeys(page.cited):
            if re.match(r"(fig|tbl|sec|eq|lst)-", key):
                if key not in page.ids: yield f"{where(page)}: @{key}: nothing on the page has that label"
            elif key not in keys: yield f"{where(page)}: @{key}: no such entry in nbs/references.bib; add it, or write \\@ or `@…` if it is no citation"
        if page.cited and not path and not page.bibliography: yield f"{where(page)}: cites but has no bibliography; name references.bib in _quarto.yml"

def config_faults(site):
    "Files that _quarto.yml names and that are not there."
    web, html = site.config["website"], site.config.get("format", {}).get("html", {})
    cards = [web.get(k) for k in ("open-graph", "twitter-card")]
    for name in [web.get("favicon"), html.get("css"), web.get("image"), *(c.get("image") for c in cards if isinstance(c, dict))]:
        if name and not (site.root/"nbs"/name.lstrip("/")).is_file(): yield f"_quarto.yml: no file nbs/{name.lstrip('/')}"

def where(page):
    "The path of a page or Markdown file in the repository."
    return f"nbs/{page.name}" if page.output else page.name

def faults(site):
    "All that is wrong with a site, one sentence a fault."
    checks = (page_faults, sidebar_faults, link_faults, image_faults, citation_faults, config_faults)
    return [line for check in checks for line in sorted(check(site))]

def read_markdown(path, root):
    "A Markdown file of the repository as a Page without an output."
    from nbconvert.filters import markdown2html
    found = docs_pages.Reader(markdown2html(path.read_text(encoding="utf-8")))
    return docs_pages.Page(path.relative_to(root).as_posix(), links=found.links, images=found.images, ids=set(found.ids))

def make_pages(root, target, workers=2):
    "Process and render every page, `workers` at a time in processes of their own (0: in this one), and read the Markdown files."
    names = [p.relative_to(root/"nbs") for p in notebooks(root)]
    jobs = [(root/"nbs"/n, target/n, n.as_posix()) for n in names]
    if workers:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool: pages = list(pool.map(docs_pages.make_page, jobs))
    else: pages = list(map(docs_pages.make_page, jobs))
    texts = [root/"README.md", root/"CHANGELOG.md", *sorted((root/".github").rglob("*.md"))]
    return pages + [read_markdown(p, root) for p in texts if p.is_file()]

def readme_faults():
    "What tools/readme.py says where README.md is not up to date."
    import readme
    path = ROOT/"README.md"
    if not path.exists() or path.read_text(encoding="utf-8") != readme.readme(): yield "README.md: does not say what nbs/index.ipynb says; run: make readme"

def summary(site, seconds):
    "One line on what was checked."
    def count(what): return sum(len(getattr(p, what)) for p in site.pages)
    anchors = sum("#" in link for p in site.pages for link in p.links)
    return (f"docs-check: {len(site.by_name)} pages and {len(site.pages)-len(site.by_name)} Markdown files, {count('links')} links ({anchors} to an anchor), "
            f"{count('images')} pictures, {count('cited')} citations: no fault ({seconds:.0f} s)")

def report(found, site, begin):
    "Print the faults and leave with exit status 1, or say what was checked."
    seconds = time.time() - begin
    for line in found: print(line)
    if found: raise SystemExit(f"docs-check: {len(found)} fault{'s' if len(found) > 1 else ''} ({seconds:.0f} s)")
    print(summary(site, seconds))

def main():
    begin = time.time()
    for name, value in (("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1"), ("MPLBACKEND", "agg"), ("PYTHONWARNINGS", "ignore")): os.environ.setdefault(name, value)
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder: pages = make_pages(ROOT, Path(folder), min(2, os.cpu_count() or 1))
    site = read_site(ROOT, pages)
    report([*readme_faults(), *faults(site)], site, begin)

if __name__ == "__main__": main()
