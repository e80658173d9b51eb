package reference

import "tempera/training/device"

// Gemm is part of device.Linear.
func (b *Backend) Gemm(a device.GemmArgs) {
	x, w, c := b.of(a.A), b.of(a.B), b.of(a.C)
	bias, pre, residual := b.of(a.Bias), b.of(a.Pre), b.of(a.Residual)
	for m := range a.M {
		for n := range a.N {
			var sum float64
			for k := range a.K {
				sum += x[index(m, k, a.M, a.K, a.TransA)] * w[index(k, n, a.K, a.N, a.TransB)]
			}
			i := m*a.N + n
			if a.Accumulate {
				sum += c[i]
			}
			if bias != nil {
				sum += bias[n]
			}
			if pre != nil {
				pre[i] = sum
			}
			sum, _ = activation(a.Activation, sum)
			if residual != nil {
				sum += residual[i]
			}
			c[i] = sum
		}
	}
}

// index is where element (r, c) of op(X), rows x cols, is stored.
func index(r, c, rows, cols int, transposed bool) int {
	if transposed {
		return c*rows + r
	}
	return r*cols + c
}
