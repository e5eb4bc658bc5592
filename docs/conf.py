"""Sphinx configuration: Markdown sources, the furo theme."""

from importlib.metadata import version as installed_version

project = "Holdfast"
author = "Holdfast contributors"
copyright = "2026, Holdfast contributors"
release = version = installed_version("holdfast")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = False

html_theme = "furo"
html_title = "Holdfast"
