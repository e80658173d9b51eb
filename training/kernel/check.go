package kernel

import "fmt"

// need panics unless a method's field holds want elements.
func need[T any](method, field string, s []T, want int) {
	if len(s) < want {
		panic(fmt.Sprintf("kernel: %s.%s has %d elements, the shape needs %d", method, field, len(s), want))
	}
}

// needMatrix checks a rows x cols matrix and returns its leading dimension.
func needMatrix(method, field string, s []float32, rows, cols, ld int) int {
	if ld == 0 {
		ld = cols
	}
	if ld < cols {
		panic(fmt.Sprintf("kernel: %s.%s has leading dimension %d, below its %d columns", method, field, ld, cols))
	}
	if rows > 0 && cols > 0 {
		need(method, field, s, (rows-1)*ld+cols)
	}
	return ld
}

func require(ok bool, format string, args ...any) {
	if !ok {
		panic("kernel: " + fmt.Sprintf(format, args...))
	}
}
