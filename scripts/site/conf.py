"""How Sphinx reads our pages: as CommonMark with tables, whose headings have the anchors that GitHub gives them."""

project = "rrdbg"
copyright = "rrdbg contributors"  # noqa: A001 - Sphinx's name for it
extensions = ["myst_parser"]
root_doc = "README"
html_theme = "furo"
html_title = "rrdbg"
html_static_path: list[str] = []
myst_heading_anchors = 4
# GDB's own language has no lexer, and a command line of ours is none of a language's.
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "none"
