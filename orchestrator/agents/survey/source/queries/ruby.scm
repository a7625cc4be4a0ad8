(comment) @comment
(call method: (identifier) @_require arguments: (argument_list . (string (string_content) @import))
  (#any-of? @_require "require" "require_relative" "load"))
(class name: (_) @class)
(module name: (_) @module)
(method name: (_) @method)
(singleton_method name: (_) @method)
(method name: (identifier) @test (#match? @test "^test_"))
(call method: (identifier) @test (#any-of? @test "it" "specify" "scenario"))
