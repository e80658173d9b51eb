package objective

import "slices"

// GroupRows gives rows that must not be each other's negatives the same number:
// rows with equal texts, and rows that given (one number per row, or nil) puts
// together, such as texts of one image. The number is the first such row.
func GroupRows(tokens []int32, rows int, given []int32) []int32 {
	width := len(tokens) / rows
	groups := make([]int32, rows)
	for i := range groups {
		groups[i] = int32(i)
		for j := range i {
			same := slices.Equal(tokens[i*width:(i+1)*width], tokens[j*width:(j+1)*width])
			if same || given != nil && given[i] == given[j] {
				join(groups[:i+1], groups[j], groups[i])
			}
		}
	}
	return groups
}

// join gives all rows of two groups the smaller number.
func join(groups []int32, a, b int32) {
	a, b = min(a, b), max(a, b)
	for i, g := range groups {
		if g == b {
			groups[i] = a
		}
	}
}
