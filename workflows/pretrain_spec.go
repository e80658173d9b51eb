package workflows

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tempera/workflows/dag"
)

// PretrainSpec builds the pipeline: data, tokenizer, training, evaluation,
// publication, report; of a sweep, a training and an evaluation for each size.
func PretrainSpec(p PretrainParams) (*dag.Spec, error) {
	b := &pretraining{p: p, spec: &dag.Spec{Name: p.Name, Description: fmt.Sprintf("Pretraining, objective %s", p.Objective), Defaults: p.defaults()}}
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
	written      dag.Inputs // captions of held-out pictures
	held, judged string     // measured on while training, and afterwards
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
	if b.tokenizer = cmp.Or(b.p.Tokenizer, b.p.VLM.Language); b.tokenizer != "" {
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
	batch        int
	replicas     bool // trained in rounds
}

// models lists the models: one, or those of the sweep, the one that the run is
// about last.
func (b *pretraining) models() []sized {
	p := b.p
	single := sized{label: p.Name, width: p.Model.Width, steps: p.Steps, batch: p.Batch}
	if d := p.DataParallel; d != nil {
		all := d.controls(single)
		single.replicas, single.label = true, fmt.Sprintf("%d replicas, rounds of %d steps", d.Replicas, d.LocalSteps)
		return append(all, single)
	}
	if p.Sweep == nil {
		return []sized{single}
	}
	lengths := p.Sweep.Steps
	if len(lengths) == 0 {
		lengths = []int{p.Steps}
	}
	var all []sized
	for _, steps := range slices.Compact(slices.Sorted(slices.Values(lengths))) {
		for _, width := range slices.Compact(slices.Sorted(slices.Values(p.Sweep.Width))) {
			m := sized{suffix: fmt.Sprintf("_w%d", width), label: fmt.Sprintf("width %d", width), width: width, steps: steps, batch: p.Batch}
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
	q := params{
		"objective": p.Objective, "steps": m.steps, "minutes": p.Minutes, "batch": m.batch, "learning_rate": p.LearningRate, "warm_up": p.WarmUp,
		"floor": 0.1, "packing": p.Packing, "seed": p.Seed, "evaluate_every": p.EvaluateEvery, "patience": p.Patience, "keep": p.Keep,
		"checkpoint_seconds": p.Checkpoint, "model": b.size(m),
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
	if in := b.learnsFrom(q); m.replicas {
		b.inRounds(id, q)
	} else {
		b.add(id, "pretrain", in, q)
	}
	b.best = trained{id + ".model", "evaluate" + m.suffix + ".evaluation"}
	in := inputs{"model": {b.best.model}, "data": {b.judged}}
	if lm {
		samples := params{"count": p.Samples}
		if len(p.Prompts) > 0 {
			samples["prompts"] = p.Prompts
		}
		b.add("evaluate"+m.suffix, "evaluate_text", in, params{"batch": p.Batch, "samples": samples, "seed": p.Seed})
	} else {
		b.add("evaluate"+m.suffix, "evaluate", in, b.sight(params{"gallery": p.Gallery, "seed": p.Seed}))
	}
	if b.metric() == captionMetric {
		b.add("captions"+m.suffix, "caption", in, b.sight(params{"top_p": 0, "seed": p.Seed}))
		b.written = append(b.written, "captions"+m.suffix+".dataset")
	}
	b.evaluations = append(b.evaluations, b.best.evaluation)
	steps := m.steps
	if p.Minutes > 0 {
		steps = 0
	}
	b.labels, b.steps, b.seeds = append(b.labels, m.label), append(b.steps, steps), append(b.seeds, p.Seed)
	b.curves = append(b.curves, id)
	b.seen = append(b.seen, float64(m.steps)*float64(m.batch)*float64(p.Model.Context))
}

// size are the parameters of a model's size.
func (b *pretraining) size(m sized) params {
	p := b.p.Model
	size := params{"width": m.width, "text_layers": p.Layers, "layers": p.Layers, "heads": p.Heads, "image": p.Image, "patch": p.Patch}
	switch {
	case b.p.Objective == "lm":
		size["context"], size["config"] = p.Context, withForm(p)
	case b.p.Objective == vlmObjective && b.p.VLM.Language == "":
		size["config"] = withForm(p)
	case p.Config != nil:
		size["config"] = p.Config
	}
	return size
}

// learnsFrom are the inputs of a training, whose parameters it completes.
func (b *pretraining) learnsFrom(q params) inputs {
	if freeze := b.p.VLM.Freeze; len(freeze) > 0 {
		q["freeze"] = freeze
	}
	b.sight(q)
	return b.madeOf(inputs{"data": b.data, "tokenizer": {b.tokenizer}, "held_out": {b.held}})
}

// madeOf adds the models that a new one begins with to the inputs that make it.
func (b *pretraining) madeOf(in inputs) inputs {
	v := b.p.VLM
	if v.Vision != "" {
		in["vision"] = dag.Inputs{v.Vision}
	}
	if v.Language != "" {
		in["language"] = dag.Inputs{v.Language}
	}
	return in
}

// sight adds how a vlm is shown images.
func (b *pretraining) sight(q params) params {
	if b.p.VLM.Prompt != "" {
		q["prompt"] = b.p.VLM.Prompt
	}
	if b.p.VLM.Native > 0 {
		q["native"] = b.p.VLM.Native
	}
	return q
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

// captionMetric is that of models that write captions.
const captionMetric = "cider_d"

// metric is what models are compared by.
func (b *pretraining) metric() string {
	switch b.p.Objective {
	case "lm":
		return "bits_per_byte"
	case "captioning", vlmObjective:
		return captionMetric
	}
	return "r1"
}

func (b *pretraining) report() {
	in := inputs{"evaluations": b.evaluations}
	shown := []string{}
	if b.p.Sweep != nil {
		in["scaling"] = dag.Inputs{"scaling.scaling"}
	}
	for range b.written {
		shown = append(shown, "held-out pictures, as the model describes them")
	}
	if len(b.shown) > 0 {
		in["datasets"] = slices.Concat(b.written, b.shown)
		for i := range b.shown {
			shown = append(shown, fmt.Sprintf("training pairs, set %d", i+1))
		}
	}
	b.add("report", "report", in, params{
		"title": b.p.Name, "metric": b.metric(), "labels": b.labels, "steps": b.steps, "seeds": b.seeds,
		"curves": b.curves, "details": true, "dataset_labels": shown,
	})
}
