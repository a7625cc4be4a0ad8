"""The host project's tools from npm do with the folder in it what they did before."""

import os
from pathlib import Path

import pytest

from tests.acceptance.test_host_tools import Case, after, at_end, check, host
from tests.agents.real.tools import VARIABLE

__all__ = ["host"]

pytestmark = [pytest.mark.real_tools, pytest.mark.slow]

NODE = Path(os.environ.get(VARIABLE, "/nonexistent"), "node_modules")

NODE_FILES = {
    "package.json": '{\n  "name": "host",\n  "type": "module"\n}\n',
    "src/one.ts": "export const one: number = 1;\n",
    "src/two.js": "export const two = 2;\n",
    "src/two.test.cjs": 'test("two", () => expect(1 + 1).toBe(2));\n',
}


SCRIPTS = {
    "eslint": Case(
        (NODE / ".bin/eslint", "."),
        {
            **NODE_FILES,
            "eslint.config.js": "export default [\n"
            '  { files: ["**/*.js"], rules: { "no-undef": "error", "no-console": "error" } },\n'
            "];\n",
        },
        after("eslint.config.js", "export default ["),
    ),
    "prettier": Case(
        (NODE / ".bin/prettier", "--check", "."),
        {**NODE_FILES, ".prettierrc": "{}\n"},
        at_end(".prettierignore"),
    ),
    "tsc": Case(
        (NODE / ".bin/tsc", "--noEmit", "--listFilesOnly"),
        {
            **NODE_FILES,
            "tsconfig.json": "{\n"
            '  // as the team has it\n  "compilerOptions": { "types": [], "lib": ["es2022"] }\n}\n',
        },
        after("tsconfig.json", "{"),
    ),
    "jest": Case(
        (NODE / ".bin/jest",),
        {
            **NODE_FILES,
            "jest.config.cjs": 'module.exports = {\n  testMatch: ["**/*.test.cjs"],\n};\n',
        },
        after("jest.config.cjs", "module.exports = {"),
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tool_from_npm_does_what_it_did(name: str, host: Path) -> None:
    case = SCRIPTS[name]
    if not Path(case.command[0]).exists():
        reason = f"{name} is not installed; ./run-tests.sh --agents installs it"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

    check(case, name, host, with_git=False)
