"""The exercises in code: what each chapter's check must say to right and to wrong answers.

A module a chapter holds answers that readers may give; its name is the page's, without the number.
"""
