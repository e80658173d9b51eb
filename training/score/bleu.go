package score

import "math"

// BLEU is a corpus score and what it is made of.
type BLEU struct {
	Score      float64          // 0 to 1
	Precisions [maxGram]float64 // modified n-gram precision, n = 1 to 4
	Brevity    float64          // penalty, 1 where captions are not shorter than references
}

// BLEU4 returns the corpus BLEU of captions (Papineni et al., 2002): counts are
// pooled over the corpus, the reference length of a caption is that of its
// closest reference (the shorter of two), and nothing is smoothed, so the score
// is 0 where no 4-gram matches.
func (c *Corpus) BLEU4(captions []string) (BLEU, error) {
	if err := c.check(captions); err != nil {
		return BLEU{}, err
	}
	var matched, total [maxGram]float64
	var length, referenceLength int
	for i, caption := range captions {
		words := Tokens(caption)
		length += len(words)
		referenceLength += closest(c.references[i], len(words))
		for n := range maxGram {
			most := make(map[string]float64)
			for _, reference := range c.references[i] {
				for _, g := range grams(reference, n+1) {
					most[g.text] = max(most[g.text], g.count)
				}
			}
			for _, g := range grams(words, n+1) {
				matched[n] += min(g.count, most[g.text])
				total[n] += g.count
			}
		}
	}
	b := BLEU{Brevity: 1}
	if length == 0 {
		b.Brevity = 0
	} else if length < referenceLength {
		b.Brevity = math.Exp(1 - float64(referenceLength)/float64(length))
	}
	var logs float64
	for n := range maxGram {
		if total[n] > 0 {
			b.Precisions[n] = matched[n] / total[n]
		}
		logs += math.Log(b.Precisions[n]) / maxGram // -Inf makes the score 0
	}
	b.Score = b.Brevity * math.Exp(logs)
	return b, nil
}

// closest returns the length of the reference whose length is nearest to n.
func closest(references [][]string, n int) int {
	best := len(references[0])
	for _, r := range references[1:] {
		d, least := abs(len(r)-n), abs(best-n)
		if d < least || d == least && len(r) < best {
			best = len(r)
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }
