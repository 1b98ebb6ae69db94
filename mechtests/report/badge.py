"""A status badge as SVG: how many verdicts are supported, and whether anything was lost."""

from html import escape

_HEIGHT = 20
_WIDE = set("mwMW@%—–")
_NARROW = set("iljtfrI.,:;'!|()[] /")
_COLOURS = {"good": "#0b6a4e", "bad": "#a6301a", "open": "#62605a"}


def badge_svg(label: str, message: str, state: str) -> str:
    """A badge that needs no font, script or server.

    Args:
        label: what it is about, shown to the left.
        message: shown to the right.
        state: ``good``, ``bad`` or ``open``, which decides the colour.

    Returns:
        An SVG image, 20 pixels high.
    """
    left, right = (_width(text) + 12 for text in (label, message))
    both, label, message = escape(f"{label}: {message}"), escape(label), escape(message)
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
<text x="{left + 6}" y="14" textLength="{right - 12}">{message}</text>
</g>
</svg>
"""


def _width(text: str) -> int:
    """The approximate width of a text of 11 pixels; the image stretches the text to exactly that."""
    return round(sum(10.5 if character in _WIDE else 4.4 if character in _NARROW else 7.2 for character in text))
