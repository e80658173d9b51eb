package transform

import (
	"fmt"

	"tempera/datagen/sample"
	"tempera/datagen/shard"
)

// Part is one stream of a merge.
type Part struct {
	Stream  sample.Stream
	Records int     // samples of the stream
	Weight  float64 // how often it goes in: 2.5 is twice, and half of it a third time; 0 means once
}

// Merge yields the parts one after the other. Keys get the number of their part
// and repetition in front, so that they stay unique. Where count is not 0, the
// whole is repeated, or cut, to that many samples.
//
// The samples of a broken repetition are chosen by seed, evenly at random.
func Merge(parts []Part, count int, seed uint64) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		left := count
		for round := 0; ; round++ {
			yielded := 0
			for i, p := range parts {
				m := merging{part: i, round: round, seed: seed, left: &left, limited: count > 0}
				n, more := m.weighted(p, yield)
				if !more {
					return
				}
				yielded += n
			}
			if count == 0 || yielded == 0 {
				return
			}
		}
	}
}

type merging struct {
	part, round int
	seed        uint64
	left        *int
	limited     bool
}

// weighted yields a part as often as it weighs.
func (m *merging) weighted(p Part, yield func(sample.Sample, error) bool) (n int, more bool) {
	weight := p.Weight
	if weight == 0 {
		weight = 1
	}
	whole := int(weight)
	some := int(float64(float64(p.Records)*(weight-float64(whole))) + 0.5)
	for repeat := range whole {
		k, more := m.repetition(p, repeat, nil, yield)
		n += k
		if !more {
			return n, false
		}
	}
	if some == 0 {
		return n, true
	}
	name := fmt.Sprintf("merge/%d/%d", m.part, m.round)
	chosen := make(map[int]bool, some)
	for _, i := range sample.Random(m.seed, name, 0).Perm(p.Records)[:some] {
		chosen[i] = true
	}
	k, more := m.repetition(p, whole, chosen, yield)
	return n + k, more
}

// repetition yields a part once; of it, where chosen is not nil, those only.
func (m *merging) repetition(p Part, repeat int, chosen map[int]bool, yield func(sample.Sample, error) bool) (n int, more bool) {
	i := -1
	for s, err := range p.Stream {
		if err != nil {
			if !yield(s, err) || !isFault(err) {
				return n, false
			}
			continue
		}
		i++
		if chosen != nil && !chosen[i] {
			continue
		}
		prefix := fmt.Sprintf("p%d", m.part)
		if m.round > 0 || repeat > 0 {
			prefix += fmt.Sprintf("r%d", repeat)
		}
		if m.round > 0 {
			prefix += fmt.Sprintf("n%d", m.round)
		}
		s.Key = shard.SafeKey(prefix + "-" + s.Key)
		if !yield(s, nil) {
			return n, false
		}
		n++
		if m.limited {
			if *m.left--; *m.left == 0 {
				return n, false
			}
		}
	}
	return n, true
}
