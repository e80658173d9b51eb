package score

import (
	"fmt"
	"strings"
)

// maxGram is the longest n-gram of CIDEr-D and BLEU-4.
const maxGram = 4

// gram is an n-gram with its count in one caption.
type gram struct {
	text  string
	count float64
}

// grams counts the n-grams of a caption, in the order of their first
// appearance: sums over them must not depend on a map's order.
func grams(words []string, n int) []gram {
	var all []gram
	at := make(map[string]int)
	for i := 0; i+n <= len(words); i++ {
		text := strings.Join(words[i:i+n], " ")
		k, ok := at[text]
		if !ok {
			k = len(all)
			at[text] = k
			all = append(all, gram{text: text})
		}
		all[k].count++
	}
	return all
}

// Corpus holds the reference captions that hypotheses are scored against: one
// or more for each image.
type Corpus struct {
	references [][][]string            // [image][reference][word]
	documents  [maxGram]map[string]int // in how many images' references an n-gram occurs
	vectors    [][]vector              // [image][reference]
}

// NewCorpus tokenises references and counts their n-grams. Every image needs at
// least one reference.
func NewCorpus(references [][]string) (*Corpus, error) {
	c := &Corpus{}
	for n := range maxGram {
		c.documents[n] = make(map[string]int)
	}
	for i, captions := range references {
		if len(captions) == 0 {
			return nil, fmt.Errorf("image %d has no reference caption", i)
		}
		var tokenised [][]string
		var seen [maxGram]map[string]bool
		for n := range maxGram {
			seen[n] = make(map[string]bool)
		}
		for _, caption := range captions {
			words := Tokens(caption)
			tokenised = append(tokenised, words)
			for n := range maxGram {
				for _, g := range grams(words, n+1) {
					seen[n][g.text] = true
				}
			}
		}
		for n := range maxGram {
			for text := range seen[n] {
				c.documents[n][text]++
			}
		}
		c.references = append(c.references, tokenised)
	}
	for _, captions := range c.references {
		var vs []vector
		for _, words := range captions {
			vs = append(vs, c.vector(words))
		}
		c.vectors = append(c.vectors, vs)
	}
	return c, nil
}

// Len returns the number of images.
func (c *Corpus) Len() int { return len(c.references) }

func (c *Corpus) check(hypotheses []string) error {
	if len(hypotheses) != c.Len() {
		return fmt.Errorf("%d captions for %d images: want one for each, in the same order", len(hypotheses), c.Len())
	}
	if len(hypotheses) == 0 {
		return fmt.Errorf("no captions to score")
	}
	return nil
}
