package model

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// size are the numbers of a published vision transformer.
type size struct{ width, layers, heads, hidden int }

// sizes are those of Dosovitskiy et al. 2021, Zhai et al. 2022 and Alabdulmohsin et
// al. 2023 (So400m), as big_vision lists them.
func sizes() map[string]size {
	return map[string]size{
		"mu":     {32, 1, 2, 128},
		"Ti":     {192, 12, 3, 768},
		"S":      {384, 12, 6, 1536},
		"M":      {512, 12, 8, 2048},
		"B":      {768, 12, 12, 3072},
		"L":      {1024, 24, 16, 4096},
		"So400m": {1152, 27, 16, 4304},
		"H":      {1280, 32, 16, 5120},
		"g":      {1408, 40, 16, 6144},
		"G":      {1664, 48, 16, 8192},
	}
}

// Sizes lists the names that Vision.Size may begin with; a slash and the side of a
// patch follow, as in "B/16".
func Sizes() []string { return slices.Sorted(maps.Keys(sizes())) }

// parseSize reads a size such as "So400m/14".
func parseSize(name string) (s size, patch int, ok bool) {
	variant, side, found := strings.Cut(name, "/")
	s, known := sizes()[variant]
	patch, err := strconv.Atoi(side)
	return s, patch, found && known && err == nil && patch > 0
}
