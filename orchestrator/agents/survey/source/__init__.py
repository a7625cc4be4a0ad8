"""Reading source files: languages, symbols, modules, lines."""
