"""The driver's call of an agent's program: the directories that it uses."""

from pathlib import Path

from orchestrator.agents.driver_process.main import call_inputs
from orchestrator.agents.driver_process.spec_file import Spec


def test_each_node_has_its_own_directory_for_files_that_attempts_share(tmp_path: Path) -> None:
    spec = Spec(agent="opencode", tool="opencode", shared=str(tmp_path / "shared"))
    control = tmp_path / "control"
    assert call_inputs(spec, control, {}).shared == tmp_path / "shared"
    on_node = call_inputs(spec, control, {"ORCHESTRATOR_NODE": "gpu1"}).shared
    assert on_node == tmp_path / "shared" / "nodes" / "gpu1"
    assert on_node.is_dir()
    (tmp_path / "file").write_text("")
    unusable = Spec(agent="opencode", tool="opencode", shared=str(tmp_path / "file" / "x"))
    assert call_inputs(unusable, control, {}).shared == control
