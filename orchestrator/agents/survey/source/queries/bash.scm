(comment) @comment
(command name: (command_name) @_source . argument: (_) @import (#any-of? @_source "source" "."))
(function_definition name: (word) @function)
(function_definition name: (word) @test (#match? @test "^test_"))
