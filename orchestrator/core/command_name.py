"""Commands in messages, so that users can paste what a message shows."""

from orchestrator import IS_INSTALLED

#: As texts have it that are the same in the folder and in an installed package.
IN_FOLDER = "bin/orchestrator"
#: As it is typed in the folder, or on the PATH. Every command in a message begins with it.
COMMAND = "orchestrator" if IS_INSTALLED else IN_FOLDER
#: Writes a missing API key into config.yaml.
KEY_COMMAND = f"{COMMAND} serve" if IS_INSTALLED else "./install.sh"
#: Installs missing packages.
INSTALL_COMMAND = "pipx reinstall recursive-orchestrator" if IS_INSTALLED else "./install.sh"
#: How to install what `survey` reads other languages than Python with.
GRAMMARS = (
    "`pipx inject recursive-orchestrator 'recursive-orchestrator[survey]'`"
    if IS_INSTALLED
    else "`./install.sh --grammars` in the orchestrator's folder"
)
