package graph

// Gorgonia's tensors need this package to know the Go release that runs them.
// The import keeps a version that does in go.mod.
import _ "go4.org/unsafe/assume-no-moving-gc"
