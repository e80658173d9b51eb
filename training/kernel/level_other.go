//go:build !amd64

package kernel

func supported(l Level) bool { return l == Portable }

func isaOf(Level) *isa { return &portableISA }
