// Package library knows where NVIDIA's libraries may lie that are loaded when they are asked for.
package library

import (
	"os"
	"path/filepath"
)

// folders are where toolkits and Python's packages put libraries, beside those that the loader knows. Variables that are not set are left out.
var folders = []string{
	"$CUDA_HOME/lib64", "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64",
	"$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib", "$CONDA_PREFIX/lib", "$CONDA_PREFIX/lib/python3*/site-packages/nvidia/*/lib",
	"$HOME/.local/lib/python3*/site-packages/nvidia/*/lib", "/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
	"/opt/*/lib/python3*/site-packages/nvidia/*/lib",
}

// Candidates are the files to try, best first: the one that the environment variable names, or those of the names.
func Candidates(environment string, names ...string) []string {
	if path := os.Getenv(environment); path != "" {
		return []string{path}
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, name)
		for _, f := range folders {
			unset := false
			folder := os.Expand(f, func(variable string) string {
				value := os.Getenv(variable)
				unset = unset || value == ""
				return value
			})
			if found, err := filepath.Glob(filepath.Join(folder, name)); err == nil && !unset {
				paths = append(paths, found...)
			}
		}
	}
	return paths
}
