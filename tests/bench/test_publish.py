"""Tables by kind of processor in one page."""

from __future__ import annotations

from bench.peers.publish import put, section

PAGE = "# Performance\n\n## Beside other engines\n\nHow.\n\n### other kind\n\nkept\n\n## Log\n\nalso kept\n"


def test_a_new_kind_is_added_after_the_others() -> None:
    page = put(PAGE, "### kind", "### kind\n\nnew\n")
    assert page == PAGE.replace("kept\n\n## Log", "kept\n\n### kind\n\nnew\n\n## Log")


def test_a_known_kind_is_replaced_and_the_rest_stays() -> None:
    page = put(PAGE, "### kind", "### kind\n\nold\n")
    assert put(page, "### kind", "### kind\n\nnew\n") == page.replace("old", "new")
    assert put(PAGE, "### other kind", "### other kind\n\nnew\n") == PAGE.replace("\nkept", "\nnew", 1)


def test_a_section_names_the_machine_its_limits_and_the_rows() -> None:
    machine = {
        "kind": "k", "cpu": "c", "cores": 2, "flags": ["avx2"], "compiler": "cc 1", "date": "d",
    }  # fmt: skip
    limits = {"read": 20.4, "int8": {"avx2": 100.0}, "float": {"avx2": 50.0}}
    result = {
        "model": "m",
        "row": "decode:8",
        "threads": 1,
        "commit": "abc",
        "limit": [10.0],
        "read": [25.0],
        "limits": limits,
    }
    text = section({"machine": machine, "results": [result | {"samples": {"nextoken": [5.0]}}]})
    assert text.startswith("### k\n\n2 cores, c, avx2; cc 1; measured at abc, d.\n\n")
    assert "| 1 thread | m 20-25 GB/s | avx2 100 G/s | avx2 50 G/s |" in text
    assert "| decode 8 | 5.00 (5.00-5.00) |  | 50% of 10 |" in text
