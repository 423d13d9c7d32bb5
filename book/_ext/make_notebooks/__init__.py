"""Write ``notebooks/*.ipynb`` from the MyST notebooks of the book, a module a step.

``python -m book._ext.make_notebooks`` writes one notebook for every page of ``_toc.yml`` that has a
jupytext header, and one in ``notebooks/zh`` where it also has a Chinese catalogue; ``--check``
writes nothing and fails when a notebook on disk differs.

MyST's own parser reads the text. Whatever plain Markdown also understands is copied as it stands;
what only Sphinx understands is translated. A directive, a role or an option that has no translation
here is an error that names its file and line, so that nothing is lost without notice.

=================  =================================================================================
read               `book` (settings, contents, pages), `parsing`, `labels` (what a reference may
                   name), `directive` (one taken apart)
inline markup      `inline`, `roles`, `references`, `bibliography`, `formulas`
blocks             `blocks`, `directives`, `files` (pictures and code), `tables`, `definitions`;
                   `lines` and `edits` put the results back among the lines they came from
                   `own_text` (a cell that the page has not)
write              `cells` (one page's), `install` (the first), `notebook` (all pages), `command`
in Chinese         `translation` (a page's text by its catalogue), `chinese` (the pages it makes)
=================  =================================================================================

`words` holds every word that a notebook adds to its page, in each language. What one page's text
needs of the others it finds in the `Place` that every step is given; no step keeps anything of its
own.

Choices that are not obvious:

- Links to another chapter are relative (``01-sparse-transformer.ipynb``). They lead to the sibling
  in a folder, on GitHub, and in Colab when the notebook was opened from the repository, whose
  address the page then carries. A copy in somebody's Drive has no siblings, so the last cell lists
  every chapter's full Colab address.
- Inside a notebook nothing is linked: a reference names the section to look into. JupyterLab
  follows links to a heading's words as they stand, VS Code to its own slugs, Colab to
  ``#scrollTo=`` and a cell's id, and none of them the others'.
- A blank line stands between HTML and Markdown, so that VS Code sets the formulas of a folded part.
- Images are data addresses, not cell attachments, which Colab does not show.
- Display mathematics inside a quotation stands on one line: Jupyter cuts formulas out before it
  reads Markdown, so a ``>`` at the start of a second line would end up in the formula.
- Equations, figures, tables and listings have the book's numbers, which count through all pages.
- A Chinese notebook is read from Chinese source text, through the same steps. Its code is that of
  the English one, but for words in the two cells that are the notebooks' own.
- Bold in Chinese is an element: by the rule that other editors follow, ``**手算。**取`` has none.
"""
