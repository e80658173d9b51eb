package workflows

import (
	"errors"
	"fmt"

	"tempera/workflows/dag"
)

// SearchParams are the parameters of the workflow Search. Defaults come from SearchDefaults, and {} runs them.
type SearchParams struct {
	PostCommon
	Rows      PostRows         `json:"rows" doc:"Demonstrations, and problems to search for answers to; the task must know the steps of an answer."`
	Model     PostModel        `json:"model" doc:"Who writes."`
	SFT       PostFit          `json:"sft" doc:"Training of the writer."`
	Chains    []int            `json:"chains" doc:"Numbers of problems of which four chains each are labelled for the verifiers: one comparison for each number." min:"1"`
	Verifiers []SearchVerifier `json:"verifiers" doc:"What judges."`
	Search    SearchSize       `json:"search" doc:"How far is searched."`
}

// SearchVerifier is a verifier that is trained on labelled chains.
type SearchVerifier struct {
	Learn string         `json:"learn" doc:"steps (each is right or wrong: a process reward model) or labels (the answer is)." enum:"steps,labels"`
	Steps int            `json:"steps" doc:"Optimiser steps." min:"1"`
	More  map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind reward_model."`
}

// SearchSize is how far is searched.
type SearchSize struct {
	N         []int          `json:"n" doc:"Samples of a problem, and what costs as many tokens." min:"1"`
	Methods   []string       `json:"methods" doc:"Ways that take a verifier." enum:"best,weighted,beam,mcts"`
	Problems  int            `json:"problems" doc:"Problems." min:"1"`
	MaxTokens int            `json:"max_tokens" doc:"Most tokens of an answer." min:"1"`
	More      map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind search: what a step is, the branches of a tree."`
}

// SearchDefaults are what {} runs: running sums by a writer that slips as its demonstrator did, searched with verifiers of 120 labelled chains.
func SearchDefaults() SearchParams {
	model := smallLlama()
	model.Context = 32
	verifier := func(learn string, bias float64) SearchVerifier {
		return SearchVerifier{Learn: learn, Steps: 120, More: map[string]any{"readout": "likelihood", "bias": bias, "scale": 1, "batch": 64, "learning_rate": 1e-3}}
	}
	steps := verifier("steps", 2)
	steps.More["separator"] = ""
	c := postCommon("search")
	c.Publish = "no"
	return SearchParams{
		PostCommon: c, Rows: PostRows{Source: "running", Count: 8000, HeldOut: 200}, Model: model,
		SFT: PostFit{Epochs: 6, Batch: 32, LearningRate: 4e-3, WarmUp: 50}, Chains: []int{30},
		Verifiers: []SearchVerifier{steps, verifier("labels", 4)},
		Search: SearchSize{
			N: []int{1, 4, 16}, Methods: []string{"best", "weighted", "beam", "mcts"}, Problems: 200, MaxTokens: 12,
			More: map[string]any{"separator": "", "step_tokens": 1, "branch": 4},
		},
	}
}

// Validate returns every fault that no single field shows.
func (p SearchParams) Validate() error {
	faults := p.Rows.faults("rows")
	if len(p.Chains) == 0 {
		faults = append(faults, errors.New("chains is empty: give how many problems the verifiers learn from, such as [30]"))
	}
	return errors.Join(faults...)
}

// SearchSpec builds the pipeline: a writer, labelled chains, verifiers, searches with each and with none, at equal tokens, report.
func SearchSpec(p SearchParams) (*dag.Spec, error) {
	most := 0
	for _, n := range p.Search.N {
		most = max(most, n)
	}
	return post(newChain(p.PostCommon, "Search at inference, at equal tokens", fmt.Sprintf("best_%d", most)), p.repeat)
}

// repeat adds one repetition.
func (p SearchParams) repeat(c *chain) made {
	rows := c.rows("rows", p.Rows, "demonstrations")
	writer := c.sft("sft", c.start("base", p.Model, dag.Inputs{rows.train}), dag.Inputs{rows.train}, p.SFT)
	p.search(c, searched{"none", "no verifier", writer, rows.test, ""})
	for _, n := range p.Chains {
		for _, v := range p.Verifiers {
			name := fmt.Sprintf("%s_%d", v.Learn, n)
			judge := p.verifier(c, v, name, labelled{writer, rows.train, n})
			p.search(c, searched{name, fmt.Sprintf("%s of %d chains", v.Learn, 4*n), writer, rows.test, judge})
		}
		if len(p.Verifiers) == 2 {
			c.holds(fmt.Sprintf("%s of %d chains", p.Verifiers[0].Learn, 4*n), fmt.Sprintf("%s of %d chains", p.Verifiers[1].Learn, 4*n), 0)
		}
	}
	return made{}
}

// labelled are chains that a writer makes of some of the problems, four of each.
type labelled struct {
	writer, problems string
	n                int
}

// verifier adds one.
func (p SearchParams) verifier(c *chain, v SearchVerifier, name string, of labelled) string {
	chains := c.add("chains_"+name, "rollout", inputs{"model": {of.writer}, "data": {of.problems}}, params{
		"samples": 4, "max_tokens": p.Search.MaxTokens, "keep": v.Learn, "prompts": of.n, "seed": c.Seed,
	})
	q := params{"learn": v.Learn, "steps": v.Steps, "seed": c.Seed, "checkpoint_seconds": c.Checkpoint}
	return c.train("verifier_"+name, "reward_model", inputs{"model": {of.writer}, "data": {chains + ".examples"}}, q.with(v.More))
}

// searched is a search: who writes, to what, and who judges.
type searched struct{ name, label, model, data, judge string }

func (p SearchParams) search(c *chain, s searched) {
	in := inputs{"model": {s.model}, "data": {s.data}}
	q := params{"n": p.Search.N, "methods": []string{"majority", "likeliest"}, "verifier": "none", "problems": p.Search.Problems, "max_tokens": p.Search.MaxTokens, "seed": c.Seed}
	if s.judge != "" {
		in["verifier"] = dag.Inputs{s.judge}
		q["methods"], q["verifier"] = p.Search.Methods, "model"
	}
	ref := c.add("search_"+s.name, "search", in, q.with(p.Search.More)) + ".evaluation"
	c.arms = append(c.arms, arm{s.label, ref, c.Seed, s.judge != ""})
}
