package picture

import "math/rand/v2"

// AddNoise adds to every byte a number of the given standard deviation (in
// 1/1000 of 255) that is close to normal: the sum of four uniform bytes.
func (m *RGB) AddNoise(deviation int, rng *rand.Rand) {
	if deviation == 0 {
		return
	}
	// Four uniform bytes add up to a mean of 510 and a standard deviation of
	// 147.8; the scale is in 1/65536.
	scale := (deviation*255*65536/1000*10 + 739) / 1478
	var bits uint64
	for i := range m.Pix {
		if i%2 == 0 {
			bits = rng.Uint64()
		}
		sum := int(bits&255) + int(bits>>8&255) + int(bits>>16&255) + int(bits>>24&255)
		bits >>= 32
		v := int(m.Pix[i]) + ((sum-510)*scale+1<<15)>>16
		m.Pix[i] = byte(min(255, max(0, v)))
	}
}
