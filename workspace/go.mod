// Files of workers in this directory are not part of the host project. Because of this file, `go vet ./...` in the project skips them.
module workspace
