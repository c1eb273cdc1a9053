"""Reports: runs compared in one HTML file, and pictures of explanations and annotations."""

from lookright.report.build import build_report
from lookright.report.markdown import write_markdown
from lookright.report.overlay import heat, outline, overlay

__all__ = ["build_report", "heat", "outline", "overlay", "write_markdown"]
