package transform

import (
	"math/bits"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
)

// Dedup says what counts as a duplicate.
type Dedup struct {
	Distance int    // bits of 64 by which the hashes of two images may differ, 0 to 16
	Match    string // "image" (default), or "pair": the caption must be equal too
	Limits   picture.Limits
}

// DifferenceHash is a perceptual hash of an image: of a reduction to 9 by 8 grey
// pixels, each bit says whether a pixel is brighter than its right neighbour
// (the dHash of N. Krawetz, 2013). Scaling, recompression and changes of
// brightness leave most bits as they are.
func DifferenceHash(img *picture.RGB) uint64 {
	small := img.Resize(9, 8)
	var hash uint64
	for y := range 8 {
		for x := range 8 {
			hash <<= 1
			if grey(small, x, y) > grey(small, x+1, y) {
				hash |= 1
			}
		}
	}
	return hash
}

// grey is the luma of a pixel (ITU-R BT.601), in 1/1000.
func grey(m *picture.RGB, x, y int) int {
	p := m.Pix[3*(y*m.W+x):]
	return 299*int(p[0]) + 587*int(p[1]) + 114*int(p[2])
}

// Apply yields the first sample of every group of duplicates and tells dropped,
// which may be nil, about the others. The hashes stay in memory.
func (d Dedup) Apply(in sample.Stream, dropped func(key, of string)) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		seen := newHashIndex(d.Distance)
		for s, err := range in {
			if err == nil {
				var img *picture.RGB
				if img, err = picture.Decode(s.Image, d.Limits); err != nil {
					err, s = faultOf(&s, err), sample.Sample{}
				} else {
					caption := ""
					if d.Match == "pair" {
						caption = s.Caption
					}
					if of, dup := seen.add(DifferenceHash(img), caption, s.Key); dup {
						if dropped != nil {
							dropped(s.Key, of)
						}
						continue
					}
				}
			}
			if !yield(s, err) || err != nil && !isFault(err) {
				return
			}
		}
	}
}

// hashIndex finds hashes within a distance of d. Two hashes that differ in at
// most d bits are equal in at least one of d+1 bands of bits.
type hashIndex struct {
	distance int
	bands    []map[band][]int
	items    []hashed
}

type band struct {
	bits    uint64
	caption string
}

type hashed struct {
	hash uint64
	key  string
}

func newHashIndex(distance int) *hashIndex {
	x := &hashIndex{distance: distance, bands: make([]map[band][]int, distance+1)}
	for i := range x.bands {
		x.bands[i] = map[band][]int{}
	}
	return x
}

// add looks for a hash near h with the same caption, and adds h where there is
// none. It reports the key of the first one.
func (x *hashIndex) add(h uint64, caption, key string) (of string, dup bool) {
	first := len(x.items)
	for i, m := range x.bands {
		for _, at := range m[x.band(h, i, caption)] {
			if at < first && bits.OnesCount64(h^x.items[at].hash) <= x.distance {
				first = at
			}
		}
	}
	if first < len(x.items) {
		return x.items[first].key, true
	}
	for i, m := range x.bands {
		b := x.band(h, i, caption)
		m[b] = append(m[b], len(x.items))
	}
	x.items = append(x.items, hashed{h, key})
	return "", false
}

func (x *hashIndex) band(h uint64, i int, caption string) band {
	n := len(x.bands)
	lo, hi := 64*i/n, 64*(i+1)/n
	return band{h >> lo & (1<<(hi-lo) - 1), caption}
}
