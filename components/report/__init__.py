"""The report: static pages that a person can review, a bucket can hold and a file manager can open."""

from components.report.build import build_index, build_run, pull
from components.report.serve import serve, server
from components.report.single_file import single_file

__all__ = ["build_index", "build_run", "pull", "serve", "server", "single_file"]
