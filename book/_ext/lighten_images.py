"""Pack the book's pictures as lossless WebP.

Matplotlib's PNG files of attention matrices take three times as much as the same pixels in WebP.
After a build each PNG that a page shows is replaced, on disk and on the pages. Rasters within a
figure's SVG are packed where the figure is dressed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import editions
from PIL import Image
from sphinx.application import Sphinx

FOLDER = "_images"


def webp(picture: bytes) -> bytes:
    """Return a picture, in any format, as a WebP with the same pixels."""
    packed = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.save(packed, format="webp", lossless=True, quality=100, method=6, exact=True)
    return packed.getvalue()


def pack(folder: Path) -> list[str]:
    """Replace every PNG in `folder` by a WebP with the same pixels; return the PNGs' names."""
    names = []
    for path in sorted(folder.glob("*.png")):
        path.with_suffix(".webp").write_bytes(webp(path.read_bytes()))
        path.unlink()
        names.append(path.name)
    return names


def point_to_packed(page: Path, names: list[str]) -> None:
    """Let `page` show the WebP in place of each PNG in `names`."""
    text = page.read_text(encoding="utf-8")
    changed = text
    for name in names:
        changed = changed.replace(f"{FOLDER}/{name}", f"{FOLDER}/{Path(name).stem}.webp")
    if changed != text:
        page.write_text(changed, encoding="utf-8")


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Pack the pictures of a finished build."""
    if exception is not None or app.builder.format != "html":
        return
    names = pack(Path(app.outdir) / FOLDER)
    for page in editions.pages(Path(app.outdir)) if names else ():
        point_to_packed(page, names)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
