package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/workflows/dag"
)

// What the workflows of post-training have in common: where rows come from, what model is trained, how long, and the chain of stages that they add to.

// PostRows are the rows that a run learns from and is measured on.
type PostRows struct {
	Source  string         `json:"source" doc:"A task that makes them (arithmetic, words, countdown, sorting, counting, grid, rule, running; docs/data.md), or files."`
	Params  map[string]any `json:"params,omitempty" doc:"Parameters of the task, or of the files' format."`
	From    []string       `json:"from,omitempty" doc:"files: .jsonl, .json and .parquet files, folders, or store:<prefix>."`
	Count   int            `json:"count" doc:"Rows to learn from; of files 0 takes all." min:"0"`
	HeldOut int            `json:"held_out" doc:"Rows to measure on, which share no prompt with those." min:"1"`
	Data    string         `json:"data,omitempty" doc:"Your own rows to learn from instead: examples@sha256:<digest>."`
	Test    string         `json:"test,omitempty" doc:"Your own rows to measure on; needed with data."`
}

func (r PostRows) faults(name string) []error {
	var faults []error
	if (r.Data != "") != (r.Test != "") {
		faults = append(faults, fmt.Errorf("%s.data and %s.test go together: give both, or neither", name, name))
	}
	for _, ref := range []string{r.Data, r.Test} {
		if ref != "" && !strings.HasPrefix(ref, "examples@") {
			faults = append(faults, fmt.Errorf("%q is no reference to examples: give examples@sha256:<digest>", ref))
		}
	}
	if r.Data == "" && r.Source != "files" && r.Count == 0 {
		faults = append(faults, fmt.Errorf("%s.count is 0: say how many rows task %s should make", name, r.Source))
	}
	if r.Source == "files" && r.Data == "" && len(r.From) == 0 {
		faults = append(faults, fmt.Errorf("%s.source is files: name them in %s.from", name, name))
	}
	return faults
}

// PostModel is the model that a run starts from: one that exists, or a new small one.
type PostModel struct {
	From    string         `json:"from,omitempty" doc:"model:<name>@<alias> or model@sha256:<digest> to start from, such as one of tempera models import; absent: a new one of the sizes below."`
	Vision  *PostVision    `json:"vision,omitempty" doc:"A new model sees: it has an image tower of this size beside the text tower."`
	Width   int            `json:"width" doc:"Channels of a new model: the dial that sizes the rest." min:"8" max:"4096"`
	Layers  int            `json:"layers" doc:"Blocks; 0 follows the width." min:"0" max:"48"`
	Heads   int            `json:"heads" doc:"Attention heads; 0 follows the width." min:"0" max:"64"`
	Context int            `json:"context" doc:"Most tokens of a prompt with its completion." min:"8" max:"65536"`
	Tokens  string         `json:"tokens" doc:"What the tokens of a new model are: seen (the characters of the rows), words (their words), bytes (merged pair by pair, vocab in all)." enum:"seen,words,bytes"`
	Vocab   int            `json:"vocab" doc:"Tokens where they are bytes." min:"270" max:"200000"`
	Config  map[string]any `json:"config,omitempty" doc:"Any other field of the model's configuration, as config.json has them."`
}

// PostVision is the image tower of a new model.
type PostVision struct {
	Image  int `json:"image" doc:"Side of the pictures in pixels." min:"8" max:"1024"`
	Patch  int `json:"patch" doc:"Side of a patch in pixels." min:"1" max:"64"`
	Layers int `json:"layers" doc:"Blocks; 0 follows the width." min:"0" max:"48"`
}

// smallLlama is what the small tasks are learned by.
func smallLlama() PostModel {
	return PostModel{
		Width: 64, Layers: 2, Heads: 4, Context: 64, Tokens: "seen", Vocab: 1024,
		Config: map[string]any{"text": map[string]any{"token_std": 0.125, "rope": map[string]any{"theta": 1000}}},
	}
}

// ruleLlama is what sentences under the hidden rule are learned by.
func ruleLlama() PostModel {
	m := smallLlama()
	m.Tokens = "words"
	return m
}

// PostFit is one training on rows.
type PostFit struct {
	Epochs       float64        `json:"epochs" doc:"How often the rows are gone through." above:"0"`
	Batch        int            `json:"batch" doc:"Rows of tokens, or pairs, of a step." min:"1"`
	LearningRate float64        `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine to a tenth." above:"0"`
	WarmUp       int            `json:"warm_up" doc:"Steps of linear warm-up." min:"0"`
	LoRA         map[string]any `json:"lora,omitempty" doc:"Trains low-rank changes instead of all parameters: {rank, alpha, targets}."`
	More         map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind of stage."`
}

func (f PostFit) params(c PostCommon) params {
	p := params{"epochs": f.Epochs, "batch": f.Batch, "learning_rate": f.LearningRate, "warm_up": f.WarmUp, "seed": c.Seed, "checkpoint_seconds": c.Checkpoint}
	if f.LoRA != nil {
		p["lora"] = f.LoRA
	}
	return p.with(f.More)
}

// PostRL is one training by reinforcement.
type PostRL struct {
	Algorithm    string         `json:"algorithm" doc:"grpo, dr_grpo, dapo, rloo, reinforce++ or ppo." enum:"grpo,dr_grpo,dapo,rloo,reinforce++,ppo"`
	Iterations   int            `json:"iterations" doc:"Batches of samples, each of which is learned from." min:"1"`
	Prompts      int            `json:"prompts" doc:"Problems of an iteration." min:"1"`
	Group        int            `json:"group" doc:"Samples of a problem." min:"1"`
	LearningRate float64        `json:"learning_rate" doc:"Peak learning rate." above:"0"`
	Rewards      []PostReward   `json:"rewards,omitempty" doc:"What samples are rewarded for; absent: right answers, and a tenth for their form."`
	Rollouts     *PostRollouts  `json:"rollouts,omitempty" doc:"Lets all workers of the queue sample: each iteration is stages of its own. Absent: the training samples by itself."`
	Loss         map[string]any `json:"loss,omitempty" doc:"Parts of the algorithm that differ from its preset: clip_high, beta, aggregate and so on."`
	More         map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind rl."`
}

// PostReward is a reward with its weight.
type PostReward struct {
	Reward string         `json:"reward" doc:"accuracy, format, language, length, repetition, rule, process, program."`
	Weight float64        `json:"weight" doc:"Factor in the sum."`
	Params map[string]any `json:"params,omitempty" doc:"Parameters of the reward."`
}

func (r PostRL) params(c PostCommon) params {
	p := params{
		"algorithm": r.Algorithm, "iterations": r.Iterations, "prompts": r.Prompts, "group": r.Group, "learning_rate": r.LearningRate, "seed": c.Seed,
		"checkpoint_seconds": c.Checkpoint,
	}
	if r.Rewards != nil {
		p["rewards"] = r.Rewards
	}
	if r.Loss != nil {
		p["loss"] = r.Loss
	}
	return p.with(r.More)
}

// PostEvaluation is how a model is measured.
type PostEvaluation struct {
	By        string         `json:"by" doc:"tasks: completions are checked, pass@k; likelihood: choices and perplexity, for rows that nothing checks." enum:"tasks,likelihood"`
	Samples   int            `json:"samples" doc:"tasks: completions of a problem." min:"1"`
	MaxTokens int            `json:"max_tokens" doc:"tasks: most tokens of a completion." min:"1"`
	Compare   []string       `json:"compare,omitempty" doc:"Metrics that models are compared by; absent: pass_1 of tasks, perplexity of likelihood."`
	More      map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind evaluate_tasks or evaluate_choices."`
}

// fault is that of measuring rows in a way that they do not allow.
func (e PostEvaluation) fault(r PostRows) error {
	if e.By == "likelihood" && r.Data == "" && r.Source != "files" {
		return fmt.Errorf("evaluate.by is likelihood, and the problems of task %s are held out without completions: use tasks", r.Source)
	}
	return nil
}

// metrics are what models are compared by, the most important one first.
func (e PostEvaluation) metrics() []string {
	switch {
	case len(e.Compare) > 0:
		return e.Compare
	case e.By == "tasks":
		return []string{"pass_1"}
	}
	return []string{"perplexity"}
}

// PostCommon is what every run has.
type PostCommon struct {
	Name string `json:"name" doc:"Name of the pipeline; the run folder and the model are filed under it."`
	Compute
	Seed       int     `json:"seed" doc:"Seed of weights, order and draws; of the first repetition." min:"0"`
	Seeds      int     `json:"seeds" doc:"Paired repetitions, each with its own rows, weights and draws: what is better is told by all of them." min:"1" max:"64"`
	Checkpoint float64 `json:"checkpoint_seconds" doc:"Seconds between checkpoints: what a crash costs at most." above:"0"`
	Publish    string  `json:"publish" doc:"Puts the model under models/, as candidate; with champion it becomes that where it is at least as good as the present one on the same data." enum:"no,candidate,champion"`
}

func postCommon(name string) PostCommon {
	return PostCommon{Name: name, Seed: 1, Seeds: 1, Checkpoint: 10, Publish: "candidate"}
}

// chain builds the spec of a run of post-training, stage after stage. Its Seed is that of the repetition that is being built.
type chain struct {
	PostCommon
	spec   *dag.Spec
	err    error
	suffix string // of the repetition's stages

	metrics  []string // that arms are compared by; the first is that of the chart and of champions
	arms     []arm
	contests []params
	curves   []string
	joined   []params // curves of several stages each
}

// arm is a row of the report.
type arm struct {
	label, evaluation string
	seed              int
	compared          bool // it has the metric
}

// made is what a repetition ends with: the model that is published, and its evaluation, "" for none.
type made struct{ model, evaluation string }

// post builds the spec of a run: its repetitions, their comparison, the publication of the first one's model, the report.
func post(c *chain, repeat func(c *chain) made) (*dag.Spec, error) {
	first := c.Seed
	var out made
	for i := range c.Seeds {
		if i > 0 {
			c.Seed, c.suffix = first+i, fmt.Sprintf("_seed%d", first+i)
		}
		if m := repeat(c); i == 0 {
			out = m
		}
	}
	c.Seed, c.suffix = first, ""
	c.publish(out)
	c.report()
	return c.spec, c.err
}

func newChain(c PostCommon, what string, metrics ...string) *chain {
	return &chain{PostCommon: c, spec: &dag.Spec{Name: c.Name, Description: what, Defaults: c.defaults()}, metrics: metrics}
}

// add appends a stage of the repetition and returns its id.
func (c *chain) add(id, kind string, in inputs, p params) string {
	raw, err := json.Marshal(p)
	c.err = errors.Join(c.err, err)
	c.spec.Stages = append(c.spec.Stages, dag.Stage{ID: id + c.suffix, Kind: kind, Inputs: in, Params: raw})
	return id + c.suffix
}

// last is the stage that was added last.
func (c *chain) last() *dag.Stage { return &c.spec.Stages[len(c.spec.Stages)-1] }

// holds says that an arm must be ahead of another by a margin of the first metric. Each repetition says it; the comparison has it once.
func (c *chain) holds(method, baseline string, margin float64) {
	if c.suffix != "" {
		return
	}
	c.contests = append(c.contests, params{"method": method, "baseline": baseline, "margin": margin})
	for _, metric := range c.metrics[1:] {
		c.contests = append(c.contests, params{"method": method, "baseline": baseline, "margin": 0.0, "metric": metric})
	}
}

// demonstrated are the first n rows of a split to learn from, all where n is 0.
func (c *chain) demonstrated(id string, r PostRows, of split, n int) string {
	if n == 0 {
		return of.train
	}
	p := params{"source": r.Source, "count": n, "seed": c.Seed, "rows": "demonstrations", "params": params{"split": "train"}.with(r.Params)}
	return c.add(id, "examples", nil, p) + ".examples"
}

// split is rows to learn from and rows to measure on.
type split struct{ train, test string }

// rows adds the stages that make rows: demonstrations where what is learned from them is how to answer, and otherwise problems. Those to measure on are problems always.
func (c *chain) rows(id string, r PostRows, form string) split {
	if r.Data != "" {
		return split{r.Data, r.Test}
	}
	p := params{"source": r.Source, "count": r.Count, "seed": c.Seed}
	if r.Source == "files" {
		p["from"], p["held_out_rows"] = r.From, r.HeldOut
		id = c.add(id, "examples", nil, p.with(r.Params))
		return split{id + ".examples", id + ".held_out"}
	}
	part := func(id, half string, p params) string {
		p["params"] = params{"split": half}.with(r.Params)
		return c.add(id, "examples", nil, p) + ".examples"
	}
	return split{
		part(id, "train", p.with(params{"rows": form})),
		part(id+"_test", "test", p.with(params{"rows": "problems", "count": r.HeldOut, "seed": c.Seed + 1})),
	}
}

// start is the model that training starts from: the given one, or a new one with a tokenizer of the characters and tags that the rows have.
func (c *chain) start(id string, m PostModel, data dag.Inputs) string {
	if m.From != "" {
		return m.From
	}
	tokenizer := "tokenizer" + c.suffix
	if !slices.ContainsFunc(c.spec.Stages, func(s dag.Stage) bool { return s.ID == tokenizer }) {
		c.add("tokenizer", "tokenizer", inputs{"data": data}, params{
			"alphabet": m.Tokens, "vocab_size": m.Vocab, "lowercase": false, "prefix_space": false, "special": []string{"<think>", "</think>", "<answer>", "</answer>"},
		})
	}
	text := params{"form": "llama", "tie_head": true}
	config := params{}.with(m.Config)
	if given, ok := m.Config["text"].(map[string]any); ok {
		text = text.with(given)
	}
	config["text"] = text
	size, p := params{"width": m.Width, "text_layers": m.Layers, "heads": m.Heads, "context": m.Context, "config": config}, params{"seed": c.Seed}
	if v := m.Vision; v != nil {
		p["kind"] = "vlm"
		size = size.with(params{"image": v.Image, "patch": v.Patch, "layers": v.Layers})
	}
	p["model"] = size
	return c.add(id, "init_model", inputs{"tokenizer": {tokenizer + ".tokenizer"}}, p) + ".model"
}

// sft adds supervised fine-tuning and returns the model.
func (c *chain) sft(id, from string, data dag.Inputs, f PostFit) string {
	return c.train(id, "sft", inputs{"model": {from}, "data": data}, f.params(c.PostCommon))
}

// train adds a stage whose output is a model, with its curves in the report.
func (c *chain) train(id, kind string, in inputs, p params) string {
	id = c.add(id, kind, in, p)
	if c.suffix == "" { // the report draws those of the first repetition
		c.curves = append(c.curves, id)
	}
	return id + ".model"
}

// evaluate adds a measurement of a model, compared with an earlier one where there is a baseline, and returns it.
func (c *chain) evaluate(m measured, e PostEvaluation) string {
	in := inputs{"model": {m.model}, "data": {m.data}}
	if m.baseline != "" && e.By == "tasks" { // a likelihood is compared by the table alone
		in["baseline"] = dag.Inputs{m.baseline}
	}
	p := params{"seed": c.Seed}
	kind := "evaluate_choices"
	if e.By == "tasks" {
		kind = "evaluate_tasks"
		p = p.with(params{"samples": e.Samples, "max_tokens": e.MaxTokens, "k": tries(e.Samples)})
	}
	ref := c.add(m.id, kind, in, p.with(e.More)) + ".evaluation"
	c.arms = append(c.arms, arm{m.label, ref, c.Seed, true})
	return ref
}

// measured is a model and what it is measured on.
type measured struct{ id, label, model, data, baseline string }

// tries are the numbers of them that pass@k is given at.
func tries(samples int) []int {
	if samples == 1 {
		return []int{1}
	}
	return []int{1, samples}
}

// publish puts the model of the first repetition under its name.
func (c *chain) publish(m made) {
	if c.Publish == "no" || m.model == "" {
		return
	}
	q, in := params{"name": c.Name, "alias": c.Publish}, inputs{"model": {m.model}}
	if m.evaluation != "" {
		in["evaluation"] = dag.Inputs{m.evaluation}
		if c.Publish == "champion" {
			q["metric"] = c.metrics[0]
		}
	}
	c.add("publish", "publish", in, q)
}

// report compares the arms over the repetitions and shows all there is.
func (c *chain) report() {
	in := inputs{}
	rows := params{"labels": []string{}, "steps": []int{}, "seeds": []int{}}
	compared, of := inputs{"evaluations": {}}, params{"labels": []string{}, "steps": []int{}, "seeds": []int{}}
	note := func(in inputs, rows params, a arm) {
		in["evaluations"] = append(in["evaluations"], a.evaluation)
		rows["labels"] = append(rows["labels"].([]string), a.label)
		rows["steps"] = append(rows["steps"].([]int), 0)
		rows["seeds"] = append(rows["seeds"].([]int), a.seed)
	}
	for _, a := range c.arms {
		note(in, rows, a)
		if a.compared {
			note(compared, of, a)
		}
	}
	if len(c.contests) > 0 {
		c.add("compare", "compare", compared, of.with(params{"metric": c.metrics[0], "pairs": c.contests}))
		in["comparison"] = dag.Inputs{"compare.comparison"}
	}
	shown := rows.with(params{"title": c.Name, "metric": c.metrics[0], "curves": c.curves, "details": true})
	if c.joined != nil {
		shown["joined"] = c.joined
	}
	c.add("report", "report", in, shown)
}
