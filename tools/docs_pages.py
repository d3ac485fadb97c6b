"""The pages of the site: what nbdev makes of the notebooks under nbs/, and what a reader of the result can follow or look at.

settings.ini names `ShowDocs`, `link_to_shown` and `DescribePictures` in `procs`, so `make docs` and `make docs-check` see the same pages.
"""
import json, os, re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, _nbpath2html
from nbdev.process import Processor
from nbdev.showdoc import show_doc

def to_shown(text):
    "nbdev links each name in backticks to its documentation. A private name has none and a link within a link is none, so theirs go; a method's link leads to its class."
    text = re.sub(r"\[(`[^`\n]+`)\]\([^)\s]*\.html#_(?!_)[\w.]*\)", r"\1", text)
    text = re.sub(r"\[([^\[\]\n]*)\[(`[^`\n]+`)\]\([^)\s]*\)([^\[\]\n]*)\]\(", r"[\1\2\3](", text)
    return re.sub(r"(\[`[^`\n]+`\]\([^)\s]*\.html#\w+)\.\w+\)", r"\1)", text)

def link_to_shown(cell):
    "`to_shown` on a cell of prose."
    if cell.cell_type == "markdown" and cell.source: cell.source = to_shown(cell.source)

class ShowDocs(Processor):
    """Documents what a page exports, from the module that the page makes.

    It stands in for nbdev's `exec_show_docs`, which runs each cell that holds an import, also the tests that need the cells between.
    """
    def __init__(self, nb):
        super().__init__(nb)
        named = [c.directives_["default_exp"][0] for c in nb.cells if "default_exp" in (c.directives_ or {})]
        self.module = f"{get_config().lib_path.name}.{named[0]}" if named else None

    def cell(self, cell):
        call = re.search(r"^show_doc\(.*\)\s*\Z", cell.source, re.M) if cell.cell_type == "code" else None
        if not call: return
        names = vars(import_module(self.module)) if self.module else {}
        shown = eval(call[0], {**names, "show_doc": show_doc})._repr_markdown_()
        text = to_shown(NbdevLookup().linkify(shown)).splitlines(keepends=True)   # not within the signature: a link in code would stand there as written
        cell.outputs = [dict(output_type="display_data", metadata={}, data={"text/markdown": text})]

def heading_text(source):
    "The last heading of a markdown cell, as plain words; None where it has none."
    found = re.findall(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.sub(r"^```.*?^```", "", source, flags=re.M | re.S), re.M)
    if not found: return None
    words = re.sub(r"\{[^}]*\}\s*$|[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", found[-1]))
    return words.strip()

def pictures(cell):
    "The outputs of a cell that are shown as a picture."
    options = dict(re.findall(r"^#\|[ \t]*([\w-]+):[ \t]*(.*?)[ \t]*$", cell.source, re.M))
    if cell.cell_type != "code" or "false" in (options.get("include"), options.get("output")): return []
    return [o for o in cell.get("outputs", []) if "text/html" not in o.get("data", {}) and any(kind.startswith("image/") for kind in o.get("data", {}))]

def picture_text(cell):
    "What stands for a cell's pictures where they are not seen: its `#| fig-alt:`, else its `#| fig-cap:`; empty where it has neither."
    found = dict(re.findall(r"^#\|[ \t]*fig-(alt|cap):[ \t]*(.+?)[ \t]*$", cell.source, re.M))
    return found.get("alt", found.get("cap", "")).strip("\"'")

class DescribePictures(Processor):
    "Gives a cell's pictures that have no text of their own `Figure: ` and the heading above them, as Quarto's `fig-alt`."
    def begin(self): self.heading = getattr(self.nb, "frontmatter_", {}).get("title", "")

    def cell(self, cell):
        if cell.cell_type == "markdown": self.heading = heading_text(cell.source) or self.heading
        elif self.heading and pictures(cell) and not picture_text(cell):
            cell.source = f"#| fig-alt: {json.dumps('Figure: ' + self.heading, ensure_ascii=False)}\n{cell.source}"

def heading_id(text):
    "Pandoc's identifier of a heading: lower case, letters, digits, `_`, `-` and `.` only, hyphens for spaces, from the first letter on."
    kept = "-".join(re.sub(r"[^\w\s.-]", "", text.lower()).split())
    return kept[next((i for i, c in enumerate(kept) if c.isalpha()), len(kept)):] or "section"

class Reader(HTMLParser):
    "Links, pictures and anchors of a rendered page."
    def __init__(self, html):
        super().__init__()
        self.links, self.images, self.ids, self.heading = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag): self.heading = []; return
        if tag == "a" and given.get("href") and given.get("class") != "anchor-link": self.links.append(given["href"])
        if tag == "img": self.images.append((given.get("src") or "", (given.get("alt") or "").strip()))
        self.ids += [given[k] for k in ("id", "name") if given.get(k) and tag in ("a", "div", "span", "section", "figure", "table", "p") and not given[k].startswith("cell-id=")]

    def handle_data(self, data):
        if self.heading is not None: self.heading.append(data)

    def handle_endtag(self, tag):
        if self.heading is None or not re.fullmatch("h[1-6]", tag): return
        text, self.heading = "".join(self.heading).removesuffix("¶").strip(), None
        own = re.search(r"\{[^}]*#([\w:.-]+)[^}]*\}$", text)
        name = own[1] if own else heading_id(re.sub(r"\{[^}]*\}$", "", text).strip())
        twins = sum(bool(re.fullmatch(re.escape(name) + r"(-\d+)?", other)) for other in self.ids) if name in self.ids else 0
        self.ids.append(f"{name}-{twins}" if twins else name)

@dataclass
class Page:
    "One page of the site, or one Markdown file of the repository."
    name: str                                    # its path under nbs/, as 04_phantom.ipynb; of a Markdown file: its path in the repository
    output: str = ""                             # the path that the site gives it, as phantom.html; empty for a Markdown file
    title: str = ""                              # its title, from the H1 or the front matter
    links: list = field(default_factory=list)    # where its links lead, as written
    images: list = field(default_factory=list)   # source and alternative text of each picture
    ids: set = field(default_factory=set)        # anchors on it
    cited: list = field(default_factory=list)    # keys that it cites
    bibliography: bool = False                   # whether its own front matter names one
    error: str = ""                              # why it could not be made

def output_name(name):
    "The path of a notebook's page on the site: the number before the name goes."
    return _nbpath2html(Path(name)).as_posix()

def cited_keys(cells):
    "The keys after `@` in the prose of the cells."
    prose = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    prose = re.sub(r"^```.*?^```|`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>", " ", prose, flags=re.M | re.S)
    return [key.rstrip(".:-") for key in re.findall(r"(?<![\w@./])@([A-Za-z0-9_][\w:.+/-]*)", prose)]

def front_matter(cells):
    "The first raw cell between lines of `---`, as a dict."
    import yaml
    raw = next((c.source for c in cells if c.cell_type == "raw"), "")
    return (yaml.safe_load(raw.strip().strip("-")) or {}) if raw.lstrip().startswith("---") else {}

@cache
def exporter():
    "nbconvert's exporter to plain HTML, made once, as it compiles its templates."
    from nbconvert import HTMLExporter
    return HTMLExporter(template_name="basic")

def read_page(path, name):
    "Render a processed notebook with nbconvert and read what is on it; `name` is its path under nbs/."
    import nbformat
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        for output in pictures(cell):
            for kind in output.data: output.metadata[kind] = {**output.metadata.get(kind, {}), "alt": picture_text(cell)}
    html, _ = exporter().from_notebook_node(nb)
    page, front = Reader(html), front_matter(nb.cells)
    labels = re.findall(r"^#\|[ \t]*label:[ \t]*(\S+)", "\n".join(c.source for c in nb.cells), re.M)
    return Page(name, output_name(name), str(front.get("title", "")), page.links, page.images, {*page.ids, *labels}, cited_keys(nb.cells), "bibliography" in front)

def make_page(job):
    "Process the notebook `source` as nbdev does for the site, into `target`, and read the result: a Page, with `error` set where that fails."
    source, target, name = job
    from nbdev.processors import FilterDefaults
    from nbdev.serve_drv import main
    target.parent.mkdir(parents=True, exist_ok=True)
    in_test = os.environ.get("IN_TEST")   # nbdev sets it and takes it away
    try:
        main((source, target, FilterDefaults))
        return read_page(target, name)
    except Exception as e: return Page(name, output_name(name), error=f"{type(e).__name__}: {str(e)[:600]}")
    finally:
        if in_test is None: os.environ.pop("IN_TEST", None)
        else: os.environ["IN_TEST"] = in_test
