package kernel

import "fmt"

// need panics unless a slice holds want elements. name is "Method.Field".
func need[T any](name string, s []T, want int) {
	if len(s) < want {
		panic(fmt.Sprintf("kernel: %s has %d elements, the shape needs %d", name, len(s), want))
	}
}

// needMatrix checks a rows x cols matrix and returns its leading dimension.
func needMatrix(name string, s []float32, rows, cols, ld int) int {
	if ld == 0 {
		ld = cols
	}
	if ld < cols {
		panic(fmt.Sprintf("kernel: %s has leading dimension %d, below its %d columns", name, ld, cols))
	}
	if rows > 0 && cols > 0 {
		need(name, s, (rows-1)*ld+cols)
	}
	return ld
}

func require(ok bool, format string, args ...any) {
	if !ok {
		panic("kernel: " + fmt.Sprintf(format, args...))
	}
}
