package sample

import "math/rand/v2"

// Random returns a generator whose numbers depend on its arguments only: one
// for every item (i) of every use (name) of a seed. It is how sources and
// transforms draw, so that any item can be made on its own.
func Random(seed uint64, name string, i uint64) *rand.Rand {
	// FNV-1a over the name, then one round of splitmix64 for each word, so that
	// neighbouring items start far apart.
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	a := Mix(seed ^ Mix(h))
	b := Mix(a ^ Mix(i+0x9e3779b97f4a7c15))
	return rand.New(rand.NewPCG(a, b))
}

// Mix is the finaliser of splitmix64: a bijection that spreads every bit.
func Mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
