"""The fake service accepts only calls that the engine's service accepts."""

import inspect
from pathlib import Path
from typing import get_type_hints

from orchestrator.engine.service.service import Service
from tests.unit.api.fake_service import FakeJobLists, FakeService


def test_the_stand_in_has_the_signatures_of_the_service(tmp_path: Path) -> None:
    real, fake = get_type_hints(Service), FakeService(tmp_path)
    parts = {name: type(part) for name, part in vars(fake).items() if name in real}

    compared = 0
    for name, part in parts.items():
        for call, method in vars(part).items():
            if not call.startswith("_") and part is not FakeJobLists:
                of_service = getattr(real[name], call)
                assert inspect.signature(method) == inspect.signature(of_service), (name, call)
                compared += 1
    assert len(parts) == 15
    assert compared > 40
