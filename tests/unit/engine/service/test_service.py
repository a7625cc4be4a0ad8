"""The list of use cases."""

import inspect

from orchestrator.engine.service.service import Service


def test_the_list_of_use_cases_is_read_in_one_file() -> None:
    assert Service.__bases__ == (object,)
    public = [each for name, each in vars(Service).items() if not name.startswith("_")]
    assert all(inspect.isfunction(each) for each in public)
    assert [each.__qualname__ for each in public if not each.__doc__] == []
