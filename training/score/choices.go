package score

import (
	"fmt"
	"math"
)

// Choice is what a model thinks of one way to go on.
type Choice struct {
	LogProb float64 // of its text, summed over tokens
	Tokens  int
	Bytes   int
}

// Chosen is which way a model goes.
type Chosen struct {
	Likeliest int     // by the sum
	PerToken  int     // by the mean over tokens
	PerByte   int     // by the mean over bytes, which does not depend on the tokenizer ("acc_norm" of the Language Model Evaluation Harness)
	Sure      float64 // probability of the likeliest among the choices
}

// Choose takes the likeliest choice by each measure, of equal ones the first.
func Choose(choices []Choice) (Chosen, error) {
	if len(choices) == 0 {
		return Chosen{}, fmt.Errorf("choose: there are no choices")
	}
	var c Chosen
	by := func(value func(Choice) float64) int {
		best := 0
		for i := range choices {
			if value(choices[i]) > value(choices[best]) {
				best = i
			}
		}
		return best
	}
	for i, x := range choices {
		if math.IsNaN(x.LogProb) || x.LogProb > 0 || x.Tokens < 1 || x.Bytes < 1 {
			return Chosen{}, fmt.Errorf("choose: choice %d has log-probability %v, %d tokens and %d bytes: want one of a text", i, x.LogProb, x.Tokens, x.Bytes)
		}
	}
	c.Likeliest = by(func(x Choice) float64 { return x.LogProb })
	c.PerToken = by(func(x Choice) float64 { return x.LogProb / float64(x.Tokens) })
	c.PerByte = by(func(x Choice) float64 { return x.LogProb / float64(x.Bytes) })
	sum := 0.0
	for _, x := range choices {
		sum += math.Exp(x.LogProb - choices[c.Likeliest].LogProb)
	}
	c.Sure = 1 / sum
	return c, nil
}
