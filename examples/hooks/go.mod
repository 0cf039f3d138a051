module github.com/qarion/qarion/examples/hooks

go 1.24
