"""A status badge as SVG: how many verdicts are supported, and whether anything was lost."""

from html import escape

_HEIGHT = 20
_WIDE = set("mwMW@%—–")
_NARROW = set("iljtfrI.,:;'!|()[] /")
_COLOURS = {"good": "#0b6a4e", "bad": "#a6301a", "open": "#62605a"}


def badge_svg(label: str, told: str, state: str) -> str:
    """A badge that needs no font, script or server.

    Args:
        label: what it is about, shown to the left.
        told: what there is to say of it.
        state: ``good``, ``bad`` or ``open``, which decides the colour.

    Returns:
        An SVG image, 20 pixels high.
    """
    left, right = (_width(text) + 12 for text in (label, told))
    both, label, told = escape(f"{label}: {told}"), escape(label), escape(told)
    size = f'width="{left + right}" height="{_HEIGHT}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{both}">
<title>{both}</title>
<clipPath id="round"><rect {size} rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left}" height="{_HEIGHT}" fill="#3b3a37"/>
<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{_COLOURS[state]}"/>
</g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="6" y="14" textLength="{left - 12}">{label}</text>
<text x="{left + 6}" y="14" textLength="{right - 12}">{told}</text>
</g>
</svg>
"""


def _width(text: str) -> int:
    """About how wide a text of 11 pixels is; the image stretches it to just that."""
    return round(sum(10.5 if sign in _WIDE else 4.4 if sign in _NARROW else 7.2 for sign in text))
