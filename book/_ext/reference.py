"""Pages of reference, written from the docstrings of ``attn_lib`` by Sphinx's autodoc.

What autodoc leaves open is settled here. Single backticks in a docstring hold a name: of something
with a page, which it then links to, or else of a parameter. Docstrings give types with shapes;
a signature gives its types only where the docstring does not. A source link goes to the lines in
the repository. And these pages are in English alone: the setting ``reference_pages`` says which
they are, for all who leave them out; templates of translations do so here.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.addnodes import pending_xref, toctree
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import stringify_signature
from sphinx.util.nodes import make_refnode

PACKAGE = "attn_lib"
MARK = "reference:name"
PRIVATE = re.compile(r"(?<=\.)_\w+\.")
"""A private module in the name of what a public one exports."""
LINES = re.compile(r"\s*<dl>\n(?P<lines>(?:<dd>.*</dd>\n)+)</dl>\s*")
"""What Sphinx writes between the brackets of a long signature."""


def is_reference(app: Sphinx, docname: str) -> bool:
    """Say whether a page is one of reference, which stays in English and off the paper."""
    return docname.startswith(app.config.reference_pages)


def name_role(
    role: str, rawtext: str, text: str, line: int, inliner: Inliner, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Read what stands in single backticks: a name, linked where it has a place to link to."""
    env: BuildEnvironment = inliner.document.settings.env
    node = pending_xref(
        rawtext,
        nodes.literal(rawtext, text),
        refdomain="py",
        reftype="obj",
        reftarget=text,
        refdoc=env.docname,
        **{key: env.ref_context.get(key) for key in ("py:module", "py:class")},
    )
    node[MARK] = True
    return [node], []


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Resolve a name that is not of the same module: one of the package's own, or a parameter."""
    if MARK not in node:
        return None
    name = f"{PACKAGE}.{node['reftarget']}"
    entry = env.get_domain("py").objects.get(name)  # type: ignore[attr-defined]
    if entry is None or entry.objtype == "module":
        return contnode
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def has_section(text: str, *names: str) -> bool:
    """Say whether a docstring has a section of one of these names."""
    return re.search(rf"^({'|'.join(names)})\n-", text, re.M) is not None


def sign(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    options: Any,
    arguments: str | None,
    returned: str | None,
) -> tuple[str | None, str | None] | None:
    """Write a signature: with the types that the docstring leaves out, with a widget's controls."""
    if what == "class" and hasattr(value, "controls"):
        given = inspect.signature(value.__init__).parameters.values()
        named = {one.name: one.default for one in given if one.kind == one.KEYWORD_ONLY}
        named |= {key: control.default_value for key, control in value.controls().items()}
        return f"(*, {', '.join(f'{key}={default!r}' for key, default in named.items())})", None
    if what not in {"class", "function", "method"} or arguments is None:
        return None
    text = inspect.getdoc(value) or ""
    if has_section(text, "Parameters", "Attributes"):
        signature = inspect.signature(value)
        kept = [one for one in signature.parameters.values() if one.name != "self"]
        arguments = stringify_signature(
            signature.replace(parameters=kept), show_annotation=False, show_return_annotation=False
        )
    if what == "class" or returned in {None, "None"} or has_section(text, "Returns"):
        return PRIVATE.sub("", arguments), None
    return PRIVATE.sub("", arguments), PRIVATE.sub("", returned)


def keep_formulas(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Show a module's indented lines as they stand: formulas, in the letters of the source."""
    for at in range(len(lines) - 1, 0, -1) if what == "module" else ():
        before = next((line for line in lines[at - 1 :: -1] if line), "")
        begins = lines[at].startswith("    ") and not lines[at - 1]
        if begins and not before.startswith((" ", "..")):
            lines[at:at] = [".. code-block:: none", ""]


def source_address(
    module: str, name: str, *, repository: str, branch: str, root: Path
) -> str | None:
    """Return the address of an object's lines in the repository, None where it has none."""
    value: Any = sys.modules.get(module)
    try:
        for part in name.split("."):
            value = getattr(value, part)
        value = inspect.unwrap(value)
        file = Path(inspect.getsourcefile(value) or "").resolve()
        lines, first = inspect.getsourcelines(value)
        path = file.relative_to(root).as_posix()
    except (AttributeError, TypeError, OSError, ValueError):
        return None
    place = f"L{first}-L{first + len(lines) - 1}"
    return f"{repository.removesuffix('.git')}/blob/{branch}/{path}#{place}"


def settle(app: Sphinx, config: Config) -> None:
    """Let linkcode link into the repository that the book is configured with."""
    package = sys.modules.get(PACKAGE) or __import__(PACKAGE)
    root = Path(package.__path__[0]).resolve().parent
    options = config.html_theme_options

    def resolve(domain: str, info: dict[str, str]) -> str | None:
        return source_address(
            info["module"],
            info["fullname"],
            repository=options["repository_url"],
            branch=options["repository_branch"],
            root=root,
        )

    config["linkcode_resolve"] = resolve


def set_lines(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Set a long signature in plain lines: Sphinx makes a list of definitions without terms of it.

    Screen readers would announce such a list for every function.
    """
    if is_reference(app, pagename):
        context["body"] = LINES.sub(
            lambda found: re.sub(
                "<dd>(.*)</dd>\n", r'<span class="sig-line">\1</span>', found["lines"]
            ),
            context["body"],
        )


def leave_untranslated(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Keep the pages of reference out of the templates of translations."""
    if app.builder.name == "gettext" and is_reference(app, docname):
        doctree.clear()


def forget_empty_captions(app: Sphinx, doctree: nodes.document) -> None:
    """Let no list of pages without a caption give an empty message to translate."""
    for contents in doctree.findall(toctree):
        if not contents.get("rawcaption"):
            contents.attributes.pop("rawcaption", None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and connect to Sphinx."""
    app.add_config_value("reference_pages", "book/api/", "env", types=[str])
    app.add_role("name", name_role)
    app.connect("config-inited", settle)
    app.connect("autodoc-process-docstring", keep_formulas)
    app.connect("autodoc-process-signature", sign)
    app.connect("missing-reference", resolve_name)
    app.connect("doctree-read", forget_empty_captions, priority=200)  # before Sphinx reads them
    app.connect("html-page-context", set_lines)
    app.connect("doctree-resolved", leave_untranslated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
