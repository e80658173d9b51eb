package score

import "math"

const (
	ciderSigma = 6  // words: width of the length penalty
	ciderScale = 10 // a score of 10 is a perfect one of a single reference
)

// vector is a caption as CIDEr sees it: TF-IDF weights for each n.
type vector struct {
	grams   [maxGram][]gram // count is the weight
	weights [maxGram]map[string]float64
	norm    [maxGram]float64
	length  float64 // in bigrams, as the reference implementation counts
}

func (c *Corpus) vector(words []string) vector {
	var v vector
	images := math.Log(float64(c.Len()))
	for n := range maxGram {
		v.grams[n] = grams(words, n+1)
		v.weights[n] = make(map[string]float64, len(v.grams[n]))
		for k := range v.grams[n] {
			g := &v.grams[n][k]
			if n == 1 {
				v.length += g.count
			}
			g.count *= images - math.Log(float64(max(1, c.documents[n][g.text])))
			v.weights[n][g.text] = g.count
			v.norm[n] += g.count * g.count
		}
		v.norm[n] = math.Sqrt(v.norm[n])
	}
	return v
}

// similarity is the clipped cosine of two captions with the Gaussian length
// penalty, averaged over n.
func (hypothesis vector) similarity(reference vector) float64 {
	delta := hypothesis.length - reference.length
	penalty := math.Exp(-delta * delta / (2 * ciderSigma * ciderSigma))
	var sum float64
	for n := range maxGram {
		var dot float64
		for _, g := range hypothesis.grams[n] {
			r := reference.weights[n][g.text]
			dot += min(g.count, r) * r
		}
		if norms := hypothesis.norm[n] * reference.norm[n]; norms > 0 {
			sum += dot / norms * penalty
		}
	}
	return sum / maxGram
}

// CIDErD returns the CIDEr-D score of each caption (Vedantam, Zitnick, Parikh:
// "CIDEr: Consensus-based Image Description Evaluation", 2015): n-grams of 1 to
// 4 words, sigma 6, scale 10, document frequencies over this corpus's
// references. The corpus score is the mean. In a corpus of one image every
// weight is 0, and so is the score.
func (c *Corpus) CIDErD(captions []string) ([]float64, error) {
	if err := c.check(captions); err != nil {
		return nil, err
	}
	scores := make([]float64, len(captions))
	for i, caption := range captions {
		v := c.vector(Tokens(caption))
		for _, reference := range c.vectors[i] {
			scores[i] += v.similarity(reference)
		}
		scores[i] *= ciderScale / float64(len(c.vectors[i]))
	}
	return scores, nil
}
