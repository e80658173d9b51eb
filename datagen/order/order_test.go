package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPermutationIsABijection(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 17, 64, 1000, 4097} {
		for key := range uint64(3) {
			p := NewPermutation(n, key)
			seen := make([]bool, n)
			for i := range n {
				at := p.At(i)
				require.False(t, seen[at])
				seen[at] = true
			}
		}
	}
	a, b := NewPermutation(1000, 1), NewPermutation(1000, 2)
	same := 0
	for i := range 1000 {
		if a.At(i) == b.At(i) {
			same++
		}
	}
	require.Less(t, same, 10)
}
