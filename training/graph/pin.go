package graph

import (
	// Gorgonia's tensors need this package to know the Go release that runs
	// them: the import keeps a version that does in go.mod.
	_ "go4.org/unsafe/assume-no-moving-gc"
)
