(comment) @comment
(import_spec path: (_) @import)
(function_declaration name: (identifier) @function)
(method_declaration name: (field_identifier) @method)
(type_spec name: (type_identifier) @type)
(type_alias name: (type_identifier) @type)
(function_declaration name: (identifier) @main (#eq? @main "main"))
(function_declaration name: (identifier) @test (#match? @test "^(Test|Benchmark|Fuzz|Example)"))
