"""Creates a job's shared context: ``python -m orchestrator.agents.prompts job_<id>.md``.

Reads a ``Recipe`` as JSON from standard input. Writes the text to ``job_<id>.md`` in the current
directory, unless the file exists.
"""

import os
import sys
from pathlib import Path

from orchestrator.agents.prompts.context_files import context_file_texts
from orchestrator.agents.prompts.project_digest import project_digest
from orchestrator.agents.prompts.shared_context import Recipe, shared_text, write_once
from orchestrator.agents.survey.assignment.survey_task import read_environment


def main() -> int:
    recipe = Recipe.from_json(sys.stdin.read())
    directory = Path.cwd()
    environment = read_environment(os.environ, directory)
    files = context_file_texts(recipe.context_files, [environment.root, directory.parent])
    text = shared_text(recipe, project_digest(environment), files)
    write_once(directory / sys.argv[1], text)
    print(f"shared context for every worker: {len(text.encode('utf-8', 'replace'))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
