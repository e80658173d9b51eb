package hf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatricesAreTurnedWhateverTheirSize(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {7, 3}, {8, 5}, {9, 1}, {33, 17}, {700, 600}, {1, 70}} {
		rows, columns := size[0], size[1]
		t.Run(fmt.Sprint(rows, columns), func(t *testing.T) {
			from := make([]float32, rows*(columns+2))
			for i := range from {
				from[i] = float32(i)
			}
			to := make([]float32, columns*(rows+3))
			turn(to, from, turning{rows: rows, columns: columns, toStride: rows + 3, fromStride: columns + 2})
			for i := range to {
				want := float32(0)
				if c, r := i/(rows+3), i%(rows+3); r < rows {
					want = from[r*(columns+2)+c]
				}
				require.Equal(t, want, to[i], i)
			}
		})
	}
}
