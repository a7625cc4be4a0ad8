// What workers leave here is no part of the host project: `go vet ./...` there passes over another module.
module workspace
