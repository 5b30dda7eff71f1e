"""The texts of seventy templates are those of transformers."""

from __future__ import annotations

import json

import pytest

from tests.chat.templates import REFERENCE, digest, folder, ours, rendered

WHERE = folder()


@pytest.mark.models
@pytest.mark.skipif(WHERE is None, reason="NEXTOKEN_VOCABULARIES names no folder")
def test_templates_render_as_transformers_renders_them() -> None:
    assert WHERE is not None
    found: dict[str, list[str]] = {}
    for name, _, text in rendered(WHERE, ours):
        found.setdefault(name, []).append(digest(text))
    assert found == json.loads(REFERENCE.read_text())
