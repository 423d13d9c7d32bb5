"""The words that a notebook adds to its page's own, in one place for each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CHINESE", "ENGLISH", "Words"]


@dataclass(frozen=True)
class Words:
    """Every word and sentence that does not come from the page; ``{…}`` is filled in.

    How emphasis is written and what stands between words belong to a language, too. By CommonMark
    ``**手算。**取`` is not bold, so in Chinese it is an element.
    """

    strong: str
    em: str
    admonitions: Mapping[str, str]
    details: str
    numbered: Mapping[str, str]
    label: str
    equation: str
    equation_in: str
    equation_elsewhere: str
    section: str
    text_in: str
    included_from: str
    show_source: str
    cited: str
    all_cited: str
    between_cited: str
    cited_in_text: str
    between_cited_in_text: str
    two_authors: str
    more_authors: str
    all_authors: str
    under_title: str
    page_in_book: str
    clone_or_else: str
    adding: str
    offline: str
    library: str
    own_text: str
    own_text_needs: str
    own_text_sentence: str
    notes: str
    works_cited: str
    terms: str
    other_chapters: str
    other_chapter: str
    whole_book: str


ENGLISH = Words(
    strong="**{text}**",
    em="*{text}*",
    admonitions={
        "attention": "Attention",
        "caution": "Caution",
        "danger": "Danger",
        "error": "Error",
        "hint": "Hint",
        "important": "Important",
        "note": "Note",
        "seealso": "See also",
        "tip": "Tip",
        "warning": "Warning",
    },
    details="Details",
    numbered={
        "figure": "Figure {number}",
        "table": "Table {number}",
        "listing": "Listing {number}",
    },
    label="{numbered}.",
    equation="({number})",
    equation_in="({number}, in *{section}*)",
    equation_elsewhere="{equation} of {page}",
    section="*{section}*",
    text_in="{text} (section *{section}*)",
    included_from="From {file}:",
    show_source="Show {count} lines of source",
    cited="{names}, {year}",
    all_cited="({cited})",
    between_cited="; ",
    cited_in_text="{names} ({year})",
    between_cited_in_text=", ",
    two_authors="{first} and {last}",
    more_authors="{first} et al.",
    all_authors="{most} et al",
    under_title="From [*{title}*]({book}) · [open in Colab]({colab}) · [text of this page]({text})",
    page_in_book="",
    clone_or_else="The library: of the clone this lies in, else as installed, else from GitHub.",
    adding="Installing what is missing. An installed torch or NumPy stays as it is.",
    offline="No network? Run on a like machine that has one: {command}\n"
    "Then bring the folder wheels here: pip install --no-index --find-links wheels attn_lib",
    library="The library is in",
    own_text="Your own text: type another sentence below, then run this cell. The model knows"
    " English best.",
    own_text_needs="The first time, delete the # before %pip: it brings the model (84 MB) and"
    " changes nothing else.",
    own_text_sentence="The dog slept until the old clock woke the dog.",
    notes="Notes",
    works_cited="Works cited",
    terms="Terms used here",
    other_chapters="Other chapters",
    other_chapter="{title}: [in Colab]({colab}), [beside this file]({file})",
    whole_book="The book and its library",
)

CHINESE = Words(
    strong="<strong>{text}</strong>",
    em="<em>{text}</em>",
    admonitions={
        "attention": "注意",
        "caution": "小心",
        "danger": "危险",
        "error": "错误",
        "hint": "提示",
        "important": "重要",
        "note": "备注",
        "seealso": "参见",
        "tip": "小技巧",
        "warning": "警告",
    },
    details="详情",
    numbered={"figure": "图{number}", "table": "表{number}", "listing": "代码{number}"},
    label="{numbered}",
    equation="({number})",
    equation_in="（{number}，见“{section}”一节）",
    equation_elsewhere="“{page}”一章的{equation}",
    section="“{section}”一节",
    text_in="{text}（见“{section}”一节）",
    included_from="出自{file}：",
    show_source="展开{count}行源代码",
    cited="{names}，{year}",
    all_cited="（{cited}）",
    between_cited="；",
    cited_in_text="{names}（{year}）",
    between_cited_in_text="、",
    two_authors="{first}和{last}",
    more_authors="{first}等",
    all_authors="{most}等",
    under_title="本章译自[英文版]({text})，如有出入，以英文为准。"
    "出自[《从底层机理了解Transformer》]({book}) · [在Colab中打开]({colab}){page}",
    page_in_book=" · [本章的网页]({page})",
    clone_or_else="库：笔记本若在仓库的副本里，就用副本中的；否则用已安装的；再没有，就从GitHub安装。",
    adding="正在安装缺少的包。已经装好的torch和NumPy保持原样。",
    offline="没有网络？在一台同类的联网机器上运行：{command}\n"
    "再把wheels文件夹拿到这里，运行：pip install --no-index --find-links wheels attn_lib",
    library="所用的库在",
    own_text="换成你自己的文本：把下面的句子改成别的，再运行这个单元格。模型最懂英文。",
    own_text_needs="第一次运行前，删去%pip前面的#：它会装上模型（84 MB），别的都不改动。",
    own_text_sentence="The dog slept until the old clock woke the dog.",
    notes="注释",
    works_cited="引用的文献",
    terms="本章用到的术语",
    other_chapters="其他章节",
    other_chapter="{title}：[在Colab中打开]({colab})，[打开本地文件]({file})",
    whole_book="全书和它的库",
)
