package score

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Gallery is a set of images and texts in which each looks for its partner.
type Gallery struct {
	Images, Texts int
	Scores        []float32 // (Images, Texts), row-major; higher is more alike
	// Same says whether a text is right for an image. Two images may share a
	// caption: then both captions are right for both, and neither is a miss.
	Same func(image, text int) bool
}

// Ranks are what retrieval finds: for each query, how many wrong candidates
// score at least as high as the best right one. 0 is a hit at 1. Ties count
// against the query, so that a model which says the same of everything is no
// better than chance, and so do scores that are not numbers.
type Ranks struct {
	ImageToText []int // a query for each image
	TextToImage []int
}

// Ranks ranks every query. A query with no right candidate is an error.
func (g Gallery) Ranks() (Ranks, error) {
	if len(g.Scores) != g.Images*g.Texts || g.Images == 0 || g.Texts == 0 {
		return Ranks{}, fmt.Errorf("%d scores for %d images and %d texts: want their product, above 0", len(g.Scores), g.Images, g.Texts)
	}
	r := Ranks{ImageToText: make([]int, g.Images), TextToImage: make([]int, g.Texts)}
	for i := range g.Images {
		rank, ok := rankOf(g.Texts, func(t int) (float32, bool) { return g.Scores[i*g.Texts+t], g.Same(i, t) })
		if !ok {
			return Ranks{}, fmt.Errorf("image %d has no right text in the gallery", i)
		}
		r.ImageToText[i] = rank
	}
	for t := range g.Texts {
		rank, ok := rankOf(g.Images, func(i int) (float32, bool) { return g.Scores[i*g.Texts+t], g.Same(i, t) })
		if !ok {
			return Ranks{}, fmt.Errorf("text %d has no right image in the gallery", t)
		}
		r.TextToImage[t] = rank
	}
	return r, nil
}

func rankOf(n int, candidate func(int) (score float32, right bool)) (rank int, ok bool) {
	best := float32(math.Inf(-1))
	for k := range n {
		if s, right := candidate(k); right {
			ok = true
			if s > best {
				best = s
			}
		}
	}
	for k := range n {
		if s, right := candidate(k); !right && !(s < best) { // NaN is not below anything
			rank++
		}
	}
	return rank, ok
}

// Append adds the ranks of another gallery of the same size.
func (r *Ranks) Append(other Ranks) {
	r.ImageToText = append(r.ImageToText, other.ImageToText...)
	r.TextToImage = append(r.TextToImage, other.TextToImage...)
}

// Recall returns the share of queries that find a right candidate among the
// first k.
func Recall(ranks []int, k int) float64 {
	if len(ranks) == 0 {
		return 0
	}
	hits := 0
	for _, rank := range ranks {
		if rank < k {
			hits++
		}
	}
	return float64(hits) / float64(len(ranks))
}

// Hits returns 1 for each query that Recall counts at k, else 0: what Mean's
// bootstrap resamples.
func Hits(ranks []int, k int) []float64 {
	hits := make([]float64, len(ranks))
	for i, rank := range ranks {
		if rank < k {
			hits[i] = 1
		}
	}
	return hits
}

// Galleries deals n pairs into galleries of exactly size pairs: recall depends
// on the size, so a remainder is left out. Equal seeds deal equally. Too few
// pairs make one gallery of them all.
func Galleries(n, size int, seed uint64) [][]int {
	order := rand.New(rand.NewPCG(seed, galleryStream)).Perm(n)
	if n <= size || size <= 0 {
		return [][]int{order}
	}
	var all [][]int
	for ; len(order) >= size; order = order[size:] {
		all = append(all, order[:size:size])
	}
	return all
}

// The streams keep generators of one seed apart.
const (
	galleryStream   = 0x67616c6c
	bootstrapStream = 0x626f6f74
)

// TopK returns the indices of the k highest scores, the highest first, equal
// ones by index: the candidates that a second model ranks again.
func TopK(scores []float32, k int) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order[:min(k, len(order))]
}
