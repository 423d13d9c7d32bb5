"""Print the built book as one PDF: ``python -m book._ext.make_pdf``.

All pages become one, in the order of ``_toc.yml``, with the page's name before each id. Chromium
prints it twice: the first print tells on which pages chapters and answers stand, the second has
their numbers in it. The PDF is tagged, so that it can be listened to, and has an outline.

==========  ======================================================================================
contents    which pages there are, and in what order
chapter     one page of the book, made ready for paper
explorers   an explorer as its still picture, its controls' values in words, and its address
answers     replies, hints and solutions at the end of their chapter
whole       all of them as one page of HTML
press       Chromium: nothing cut, no glyph missing, printed twice
file        the PDF itself: page numbers, author and dates
command     the command
==========  ======================================================================================

`words` holds every word that the PDF adds to its pages.
"""
