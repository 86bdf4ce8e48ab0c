"""A page in one file: everything inside, allowed by hashes, and drawn in a browser from another folder."""

import re

import pytest

from components.common.errors import InputError
from components.report import build_run, single_file
from tests.flows.cli.test_app import call
from tests.report.readers import check


def test_nothing_is_loaded_and_no_link_leads_to_a_file(store, runs):
    build_run(store, runs["done"])
    html = single_file(store, runs["done"])
    assert not re.search(r'(?:src|href|srcset)="(?!data:|#|https?:|")', html)
    assert 'src="samples/' not in html and '"src":"samples/' not in html and "<script src" not in html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "unsafe" not in policy and "'self'" not in policy
    assert policy.count("sha256-") == 1 + len(re.findall(r"<script>", html))
    assert 'href="data:text/yaml' in html and 'href="data:image/png' in html


@pytest.mark.browser
@pytest.mark.parametrize("status", ["done", "partial", "running"])
def test_it_is_drawn_as_the_page_is(browser, store, runs, tmp_path, status):
    build_run(store, runs[status])
    path = tmp_path / "elsewhere" / "run.html"
    path.parent.mkdir()
    path.write_text(single_file(store, runs[status]))
    html = browser.load(f"file://{path}")
    check(html)
    assert html.count("<canvas") >= 4 and html.count('class="plot"') >= 4


def test_the_command(store, runs, tmp_path, capsys):
    path = tmp_path / "run.html"
    command = ("report", "build", "--store", store.url, "--single-file", str(path))
    code, out, _ = call(capsys, *command, "--run", runs["done"])
    assert code == 0 and str(path) in out and path.read_text().startswith("<!doctype html>")
    code, _, err = call(capsys, *command)
    assert code == 2 and "name it with --run" in err


def test_a_run_without_a_page_is_one_sentence(store, runs):
    with pytest.raises(InputError, match="has no page; make it with"):
        single_file(store, runs["done"])
