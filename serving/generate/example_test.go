package generate_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"tempera/serving/generate"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
)

// One round of reinforcement learning: a group of samples for each prompt, their log-probabilities as the policy drew them, a step of training, and
// the same texts under the new policy.
func Example() {
	ctx := context.Background()
	e, err := kernel.New(kernel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	config := model.Config{Kind: model.LM, Width: 32, Text: model.Text{Form: model.Llama, Vocab: 40, Context: 64}}
	policy, err := model.New(device.NewCPU(e), config, 7)
	if err != nil {
		log.Fatal(err)
	}
	weights, err := policy.Weights()
	if err != nil {
		log.Fatal(err)
	}
	g, err := generate.New(e, policy.Config, weights.Get, generate.Options{})
	if err != nil {
		log.Fatal(err)
	}

	prompts := [][]int32{{1, 5, 9}, {1, 6, 6, 8}}
	var requests []generate.Request
	for i, p := range prompts {
		requests = append(requests, generate.Request{
			Prompt: generate.Tokens(p...), Samples: 4, MinTokens: 1, MaxTokens: 16, Seed: uint64(i), Search: generate.Search{Temperature: 1},
		})
	}
	groups, err := g.Generate(ctx, requests)
	if err != nil {
		log.Fatal(err)
	}

	var texts []generate.Scored
	for i, group := range groups {
		for _, x := range group.Texts { // x.SampledLogProbs are the old policy's
			texts = append(texts, generate.Scored{Text: generate.Tokens(slices.Concat(prompts[i], x.Tokens)...)})
		}
	}
	// Here the optimiser would step. Then:
	if weights, err = policy.Weights(); err != nil {
		log.Fatal(err)
	}
	if err := g.Load(ctx, weights.Get); err != nil {
		log.Fatal(err)
	}
	scores, err := g.Score(ctx, texts)
	if err != nil {
		log.Fatal(err)
	}

	same := true
	for i, x := range groups[1].Texts {
		same = same && x.LogProbs[0] == scores[4+i][len(prompts[1])]
	}
	fmt.Println(len(texts), "texts; the policy that did not change gives them the same probabilities:", same)
	// Output: 8 texts; the policy that did not change gives them the same probabilities: true
}
