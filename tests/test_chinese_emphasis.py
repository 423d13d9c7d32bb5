"""Bold and emphasis beside Chinese: the examples of CommonMark's issue 650, and our own."""

import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))

from chinese_emphasis import beside_chinese

BOLD = [
    # Issue 650
    ("**テスト。**テスト", "<strong>テスト。</strong>テスト"),
    ("**テスト**。テスト", "<strong>テスト</strong>。テスト"),
    ("**テスト、**テスト", "<strong>テスト、</strong>テスト"),
    ("**テスト**、テスト", "<strong>テスト</strong>、テスト"),
    ("**テスト？**テスト", "<strong>テスト？</strong>テスト"),
    ("**テスト**？テスト", "<strong>テスト</strong>？テスト"),
    (
        "これは**私のやりたかったこと。**だからするの。",
        "これは<strong>私のやりたかったこと。</strong>だからするの。",
    ),
    # What a page in Chinese has
    ("**注意力：**它", "<strong>注意力：</strong>它"),
    ("**（稀疏）**注意力", "<strong>（稀疏）</strong>注意力"),
    ("这是**「重要」**的", "这是<strong>「重要」</strong>的"),
    ("这是**“重要”**的。", "这是<strong>“重要”</strong>的。"),
    ("**“重要”**。", "<strong>“重要”</strong>。"),
    ("它——**注意力**——是", "它——<strong>注意力</strong>——是"),
    ("**`code`**的", "<strong><code>code</code></strong>的"),
    ("的**`code`**。", "的<strong><code>code</code></strong>。"),
    ("读**[图](x)**的人", '读<strong><a href="x">图</a></strong>的人'),
    ("**第一。**第二，**第三！**", "<strong>第一。</strong>第二，<strong>第三！</strong>"),
    ("***都。***是", "<em><strong>都。</strong></em>是"),
    ("*注意。*它", "<em>注意。</em>它"),
    ("**50%**的", "<strong>50%</strong>的"),
]
ENGLISH = [
    "This is **what I wanted.** So I do it.",
    "**a.**b and **(c)**d stay as they are",
    "snake_case_names and a*b*c, 2 * 3 * 4, ** none **",
    '"**quoted**" (**in brackets**), **a** *b* ***c***',
    "~~gone~~ and __init__.py",
]


@pytest.mark.parametrize(("text", "wanted"), BOLD)
def test_bold_beside_chinese_is_bold(text: str, wanted: str) -> None:
    with beside_chinese():
        assert MarkdownIt().renderInline(text) == wanted


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_read_as_before(text: str) -> None:
    own = MarkdownIt().renderInline(text)
    with beside_chinese():
        assert MarkdownIt().renderInline(text) == own


def test_the_rule_ends_with_the_build() -> None:
    with beside_chinese():
        pass
    assert MarkdownIt().renderInline("**注意力：**它") == "**注意力：**它"


def test_a_line_between_words_is_no_emphasis() -> None:
    with beside_chinese():
        assert MarkdownIt().renderInline("一_二_三") == "一_二_三"
