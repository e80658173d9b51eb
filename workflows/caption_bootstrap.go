package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tempera/workflows/dag"
)

// CaptionBootstrapParams are the parameters of the workflow CaptionBootstrap.
// The zero value of no field is meant: defaults come from
// CaptionBootstrapDefaults, and {} runs them.
type CaptionBootstrapParams struct {
	Name string `json:"name" doc:"Name of the pipeline; the run folder and the model are filed under it."`
	Compute
	Sources []string                  `json:"sources" doc:"Where generated pairs come from; each source is an experiment of its own." enum:"scenes,emoji"`
	Images  map[string]map[string]any `json:"images,omitempty" doc:"Parameters of each source, as the ingest kind takes them (object count, image size, concepts)."`
	Web     int                       `json:"web" doc:"Pairs of the web set." min:"1"`
	Clean   int                       `json:"clean" doc:"Pairs of the clean set." min:"1"`
	Gallery int                       `json:"gallery" doc:"Pairs of the evaluation set." min:"1"`
	Noise   float64                   `json:"noise" doc:"Share of web captions that belong to another image." min:"0" max:"1"`

	WebData     string `json:"web_data,omitempty" doc:"Your own noisy set: dataset@sha256:<digest>, or dataset:<name>@<version> of a published one. Noise is then not added."`
	CleanData   string `json:"clean_data,omitempty" doc:"Your own clean set: dataset@sha256:<digest>, or dataset:<name>@<version> of a published one."`
	GalleryData string `json:"gallery_data,omitempty" doc:"Your own evaluation set: dataset@sha256:<digest>, or dataset:<name>@<version> of a published one."`

	Model     BootstrapModel `json:"model" doc:"Size of every model of the run."`
	Pretrain  BootstrapFit   `json:"pretrain" doc:"Pretraining of the mixture of encoder-decoder on web and clean pairs. With 0 steps the filter, trained on clean pairs from initial weights, takes its place."`
	Filter    BootstrapFit   `json:"filter" doc:"Fine-tuning of the filter on clean pairs."`
	Captioner BootstrapFit   `json:"captioner" doc:"Fine-tuning of the captioner on clean pairs and the web pairs that the filter kept."`
	Judge     BootstrapFit   `json:"judge" doc:"Training of the model that judges synthetic captions, on the captioner's data but apart from it."`
	Arm       BootstrapFit   `json:"arm" doc:"Training of the new model of each arm; its steps are arm_steps."`
	ArmSteps  []int          `json:"arm_steps" doc:"Lengths of training at which the arms are compared, each a training of its own." min:"1"`

	Checkpoint float64 `json:"checkpoint_seconds" doc:"Seconds between checkpoints of each training: what a crash costs at most." above:"0"`

	Queue   int              `json:"queue" doc:"Batches of momentum features that image-text contrast also sees (BLIP: 900); 0 contrasts within the batch, which at a few hundred steps learns better: the moving averages lag behind." min:"0"`
	Augment BootstrapAugment `json:"augment" doc:"Random changes of the images on which filter, captioner and judge are trained; the arms see theirs as they are."`

	Score       string  `json:"score" doc:"What the filter judges by." enum:"itc,itm,both"`
	KeepWeb     float64 `json:"keep_web" doc:"Share of the web texts that is kept, the best first." above:"0" max:"1"`
	KeepCaption float64 `json:"keep_captions" doc:"Share of the synthetic captions that is kept." above:"0" max:"1"`
	TopP        float64 `json:"top_p" doc:"Nucleus of the captioner's sampling." above:"0" max:"1"`

	Rounds int      `json:"rounds" doc:"Bootstrapping rounds; each later one pretrains on the set of the one before." min:"1" max:"8"`
	Seeds  int      `json:"seeds" doc:"Paired repetitions, each with its own data, weights and order." min:"1" max:"64"`
	Seed   int      `json:"seed" doc:"Seed of the first repetition." min:"0"`
	Arms   []string `json:"arms" doc:"What is compared." enum:"raw,replicated,filtered,unfiltered,bootstrapped,oracle"`
	Margin float64  `json:"margin" doc:"Recall@1 in points by which bootstrapped must beat filtered for a positive verdict." min:"0"`

	Publish string `json:"publish" doc:"Puts the first repetition's bootstrapped set, the model trained on it, captioner and filter under datasets/ and models/. The models become candidates; with champion, model and captioner become champions where recall@1, or CIDEr-D, on the same gallery is at least that of the present ones." enum:"no,candidate,champion"`
}

// BootstrapModel is the size of the models.
type BootstrapModel struct {
	Width  int `json:"width" doc:"Channels of both towers." min:"8"`
	Layers int `json:"layers" doc:"Blocks of the image tower." min:"1"`
	Text   int `json:"text_layers" doc:"Blocks of the text tower." min:"1"`
	Heads  int `json:"heads" doc:"Attention heads." min:"1"`
	Patch  int `json:"patch" doc:"Side of an image patch in pixels." min:"1"`
}

// BootstrapAugment changes training images at random. Mirroring is not among the
// changes: it would make "left of" a lie.
type BootstrapAugment struct {
	Shift  int `json:"shift" doc:"Pixels at most in each direction." min:"0" max:"64"`
	Jitter int `json:"jitter" doc:"Percent at most of brightness and of each colour." min:"0" max:"90"`
}

// BootstrapFit is one training.
type BootstrapFit struct {
	Steps        int     `json:"steps" doc:"Optimiser steps." min:"0"`
	Batch        int     `json:"batch" doc:"Pairs of a step." min:"2"`
	LearningRate float64 `json:"learning_rate" doc:"Peak learning rate, reached after the warm-up." above:"0"`
}

// CaptionBootstrapDefaults are what {} runs: generated scenes, one seed, every
// arm, in a few minutes on two cores. The web set is so noisy, and the clean set
// so small, that data is what the arms lack: with more good pairs than a model
// of this size can learn from, filtering alone reaches the ceiling.
func CaptionBootstrapDefaults() CaptionBootstrapParams {
	return CaptionBootstrapParams{
		Name: "caption-bootstrap", Sources: []string{"scenes"},
		Images: map[string]map[string]any{"scenes": {"max_objects": 1}, "emoji": {"concepts": 60}},
		Web:    4000, Clean: 800, Gallery: 512, Noise: 0.9,
		Model:      BootstrapModel{Width: 64, Layers: 3, Text: 2, Heads: 4, Patch: 8},
		Pretrain:   BootstrapFit{Batch: 64, LearningRate: 2e-3},
		Filter:     BootstrapFit{Steps: 500, Batch: 64, LearningRate: 2e-3},
		Captioner:  BootstrapFit{Steps: 1500, Batch: 64, LearningRate: 2e-3},
		Judge:      BootstrapFit{Steps: 300, Batch: 64, LearningRate: 1e-3},
		Arm:        BootstrapFit{Batch: 64, LearningRate: 2e-3},
		ArmSteps:   []int{500},
		Checkpoint: 10,
		Augment:    BootstrapAugment{Shift: 2, Jitter: 15},
		Score:      "itc", KeepWeb: 0.09, KeepCaption: 0.7, TopP: 0.5,
		Rounds: 1, Seeds: 1, Seed: 1,
		Arms:   []string{"raw", "replicated", "filtered", "unfiltered", "bootstrapped", "oracle"},
		Margin: 1, Publish: "candidate",
	}
}

// Validate returns every fault that no single field shows.
func (p CaptionBootstrapParams) Validate() error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, fit := range []struct {
		name string
		fit  BootstrapFit
	}{{"filter", p.Filter}, {"captioner", p.Captioner}, {"judge", p.Judge}} {
		if fit.fit.Steps == 0 {
			fail("%s.steps is 0: it must learn for at least one step", fit.name)
		}
	}
	if p.CleanData == "" && p.Clean < p.Filter.Batch {
		fail("clean is %d, fewer than filter.batch (%d): give more clean pairs or a smaller batch", p.Clean, p.Filter.Batch)
	}
	if p.Model.Width%max(1, p.Model.Heads) != 0 {
		fail("model.width (%d) is not a multiple of model.heads (%d)", p.Model.Width, p.Model.Heads)
	}
	if p.Arm.Steps != 0 {
		fail("arm.steps is %d: give arm_steps instead", p.Arm.Steps)
	}
	if len(p.ArmSteps) == 0 {
		fail("arm_steps is empty: give at least one length of training, e.g. [500]")
	}
	if len(p.Sources) == 0 {
		fail("sources is empty: name scenes, emoji or both")
	}
	if own := p.WebData != "" || p.CleanData != "" || p.GalleryData != ""; own && len(p.Sources) > 1 {
		fail("data sets of your own go with one source: name one in sources")
	}
	if len(p.Arms) == 0 {
		fail("arms is empty: name at least one of raw, replicated, filtered, unfiltered, bootstrapped, oracle")
	}
	if slices.Contains(p.Arms, "oracle") && p.WebData != "" {
		fail("arms has oracle, but of web_data nobody knows the true captions: leave it out")
	}
	return errors.Join(faults...)
}

// CaptionBootstrapSpec builds the pipeline: BLIP's captioning and filtering,
// then a new model for each arm, their comparison and the report. The DAG is
// described in docs/design/0003-caption-bootstrap.md.
func CaptionBootstrapSpec(p CaptionBootstrapParams) (*dag.Spec, error) {
	b := &bootstrap{p: p, spec: &dag.Spec{
		Name:        p.Name,
		Description: fmt.Sprintf("Caption bootstrapping and filtering on %s, %d paired seeds", strings.Join(p.Sources, " and "), p.Seeds),
		Defaults:    p.defaults(),
	}}
	contests := []params{}
	for _, source := range p.Sources {
		b.source, b.prefix = source, ""
		if len(p.Sources) > 1 {
			b.prefix = source + ": "
		}
		for i := range p.Seeds {
			b.repetition(p.Seed + i)
		}
		contests = append(contests, b.contests()...)
	}
	rows := params{"labels": b.labels, "steps": b.steps, "seeds": b.seeds}
	b.add("compare", "compare", inputs{"evaluations": b.evaluations}, rows.with(params{"metric": "r1", "pairs": contests}))
	b.add("report", "report", inputs{
		"evaluations": b.evaluations, "comparison": {"compare.comparison"}, "datasets": b.shown,
	}, rows.with(params{"title": p.Name, "dataset_labels": b.shownLabels, "curves": b.curves, "metric": "r1"}))
	b.publish()
	return b.spec, b.err
}

type (
	params map[string]any
	inputs map[string]dag.Inputs
)

// with returns the parameters with more of them.
func (p params) with(more params) params {
	all := maps.Clone(p)
	maps.Copy(all, more)
	return all
}

// contests are what bootstrapped is held against, and by how much it must be
// ahead: the margin over filtered, three times that over raw and replicated.
func (b *bootstrap) contests() (list []params) {
	margins := map[string]float64{"filtered": b.p.Margin, "raw": 3 * b.p.Margin, "replicated": 3 * b.p.Margin, "unfiltered": 0}
	for _, arm := range b.p.Arms {
		if margin, ok := margins[arm]; ok && slices.Contains(b.p.Arms, "bootstrapped") {
			list = append(list, params{"method": b.prefix + "bootstrapped", "baseline": b.prefix + arm, "margin": margin})
		}
	}
	return list
}

// bootstrap builds the spec, one repetition after the other.
type bootstrap struct {
	p      CaptionBootstrapParams
	spec   *dag.Spec
	source string // of the experiment that is being built
	prefix string // of its rows' labels
	seed   int    // of the repetition
	suffix string // of its stages' ids
	err    error

	gallery            string
	evaluations        dag.Inputs
	labels             []string
	steps, seeds       []int
	curves             []string // stages whose losses the report draws
	shown, shownLabels []string
	published          []publication
}

// add appends a stage and returns its id; the id gets the repetition's suffix
// unless the stage belongs to all repetitions.
func (b *bootstrap) add(id, kind string, in inputs, p params) *dag.Stage {
	raw, err := json.Marshal(p)
	b.err = errors.Join(b.err, err)
	b.spec.Stages = append(b.spec.Stages, dag.Stage{ID: id, Kind: kind, Inputs: in, Params: raw})
	return &b.spec.Stages[len(b.spec.Stages)-1]
}

// stage adds a stage of this repetition and returns the name of one output.
func (b *bootstrap) stage(id, kind, output string, in inputs, p params) string {
	id += b.suffix
	b.add(id, kind, in, p)
	return id + "." + output
}

// mapped is stage over the shards of the kind's data set.
func (b *bootstrap) mapped(id, kind, output string, in inputs, p params) string {
	id += b.suffix
	b.add(id, kind, in, p).Map = &dag.Map{}
	return id + "." + output
}

// ingest generates pairs, unless the user brings a data set.
func (b *bootstrap) ingest(id, own string, p params) string {
	if own != "" {
		return own
	}
	p["source"] = b.source
	if of := b.p.Images[b.source]; of != nil {
		p["params"] = of
	}
	return b.stage(id, "ingest", "dataset", nil, p)
}

func (b *bootstrap) repetition(seed int) {
	p := b.p
	b.seed, b.suffix = seed, ""
	if len(p.Sources) > 1 {
		b.suffix += "_" + b.source
	}
	if p.Seeds > 1 {
		b.suffix += fmt.Sprintf("_s%d", seed)
	}
	// The seeds of the three sets never meet: a gallery image is in no training set.
	clean := b.ingest("clean", p.CleanData, params{"count": p.Clean, "seed": 3*b.seed + 1})
	gallery := b.ingest("gallery", p.GalleryData, params{"count": p.Gallery, "seed": 3*b.seed + 2, "unique": true})
	web, truth := p.WebData, ""
	if web == "" {
		truth = b.ingest("web_source", "", params{"count": p.Web, "seed": 3 * b.seed})
		web = b.stage("web", "noise", "dataset", inputs{"data": {truth}}, params{"mismatch": p.Noise, "seed": b.seed})
	}
	b.gallery = gallery
	tokenizer := b.stage("tokenizer", "tokenizer", "tokenizer", inputs{"data": {web, clean}}, params{})

	set := dag.Inputs{web, clean}
	var keptWeb, captions string
	for round := range p.Rounds {
		r := ""
		if p.Rounds > 1 {
			r = fmt.Sprintf("_r%d", round+1)
		}
		start := b.pretrained(r, set, tokenizer)
		filter := b.fit("filter"+r, p.Filter, start, dag.Inputs{clean}, params{"itc": 1, "itm": b.itm(), "lm": 1})
		if p.Pretrain.Steps == 0 {
			start = origin{model: filter}
		}
		keptWeb = b.mapped("kept_web"+r, "filter", "dataset", inputs{"model": {filter}, "data": {web}}, params{"score": p.Score, "keep": p.KeepWeb})
		trusted := dag.Inputs{clean, keptWeb}
		captioner := b.fit("captioner"+r, p.Captioner, start, trusted, params{"itc": 0.5, "itm": 0, "lm": 1})
		judge := b.fit("judge"+r, p.Judge, start, trusted, params{"itc": 1, "itm": b.itm(), "lm": 0})
		captions = b.mapped("captions"+r, "caption", "dataset", inputs{"model": {captioner}, "data": {web}}, params{"top_p": p.TopP, "seed": b.seed})
		keptCaptions := b.mapped("kept_captions"+r, "filter", "dataset", inputs{"model": {judge}, "data": {captions}}, params{"score": p.Score, "keep": p.KeepCaption})
		bootstrapped := b.stage("bootstrapped"+r, "merge", "dataset", inputs{"data": {keptWeb, keptCaptions, clean}}, params{})
		b.show(keptWeb, "web texts kept")
		b.show(strings.Replace(keptWeb, ".dataset", ".rejected", 1), "web texts rejected")
		b.show(keptCaptions, "synthetic captions kept")
		b.show(strings.Replace(keptCaptions, ".dataset", ".rejected", 1), "synthetic captions rejected")
		set = dag.Inputs{bootstrapped}
		evaluation := b.evaluate("captioner"+r, captioner, rowOf{"captioner" + r, p.Captioner.Steps})
		b.curve(captioner)
		if round == p.Rounds-1 {
			b.offer(publication{inputs: inputs{"dataset": set}})
			b.offer(publication{part: "captioner", metric: "cider_d", inputs: inputs{"model": {captioner}, "evaluation": {evaluation}}})
			b.offer(publication{part: "filter", inputs: inputs{"model": {filter}}})
		}
	}
	sets := map[string]dag.Inputs{
		"raw":          {web, clean},
		"replicated":   {web, web, clean},
		"filtered":     {keptWeb, clean},
		"unfiltered":   {keptWeb, captions, clean},
		"bootstrapped": set,
		"oracle":       {truth, clean},
	}
	for _, steps := range p.ArmSteps {
		for _, arm := range p.Arms {
			b.arm(rowOf{arm, steps}, sets[arm], tokenizer)
		}
	}
}

// itm is the weight of image-text matching: only a filter that judges by it
// pays for it.
func (b *bootstrap) itm() int {
	if b.p.Score == "itc" {
		return 0
	}
	return 1
}

// origin is where a training begins: from a model, or from initial weights and
// a tokenizer.
type origin struct{ model, tokenizer string }

// pretrained trains the mixture of encoder-decoder that filter and captioner
// start from.
func (b *bootstrap) pretrained(round string, set dag.Inputs, tokenizer string) origin {
	if b.p.Pretrain.Steps == 0 {
		return origin{tokenizer: tokenizer}
	}
	weights := params{"itc": 1, "itm": b.itm(), "lm": 1}
	return origin{model: b.fit("pretrained"+round, b.p.Pretrain, origin{tokenizer: tokenizer}, set, weights)}
}

// fit adds one training with the objective blip and returns its model.
func (b *bootstrap) fit(id string, fit BootstrapFit, from origin, data dag.Inputs, weights params) string {
	p := b.training(fit).with(weights).with(params{"objective": "blip", "queue": b.p.Queue, "augment": b.p.Augment})
	if from.model != "" {
		return b.stage(id, "finetune", "model", inputs{"model": {from.model}, "data": data}, p)
	}
	p["model"] = b.p.Model
	return b.stage(id, "pretrain", "model", inputs{"tokenizer": {from.tokenizer}, "data": data}, p)
}

// training are the parameters that every training has.
func (b *bootstrap) training(fit BootstrapFit) params {
	return params{
		"steps": fit.Steps, "batch": fit.Batch, "learning_rate": fit.LearningRate, "seed": b.seed,
		"checkpoint_seconds": b.p.Checkpoint,
	}
}

// rowOf is what an evaluation is about.
type rowOf struct {
	label string
	steps int
}

// arm trains a new contrastive model on a set and evaluates it.
func (b *bootstrap) arm(row rowOf, data dag.Inputs, tokenizer string) {
	fit := b.p.Arm
	fit.Steps = row.steps
	id := fmt.Sprintf("%s_%d", row.label, row.steps)
	trained := b.stage("train_"+id, "pretrain", "model", inputs{"data": data, "tokenizer": {tokenizer}},
		b.training(fit).with(params{"objective": "clip", "model": b.p.Model}))
	evaluation := b.evaluate(id, trained, row)
	if row.steps < slices.Max(b.p.ArmSteps) {
		return
	}
	b.curve(trained)
	if row.label == "bootstrapped" {
		b.offer(publication{metric: "r1", inputs: inputs{"model": {trained}, "evaluation": {evaluation}, "comparison": {"compare.comparison"}}})
	}
}

// evaluate adds the evaluation of one model and its row in the comparison, and
// returns the evaluation.
func (b *bootstrap) evaluate(id, model string, row rowOf) string {
	evaluation := b.stage("eval_"+id, "evaluate", "evaluation", inputs{"model": {model}, "data": {b.gallery}}, params{"seed": b.seed})
	b.evaluations = append(b.evaluations, evaluation)
	b.labels, b.steps, b.seeds = append(b.labels, b.prefix+row.label), append(b.steps, row.steps), append(b.seeds, b.seed)
	return evaluation
}

// curve puts the losses of a training into the report; those of the first
// repetition are enough.
func (b *bootstrap) curve(model string) {
	if b.seed == b.p.Seed {
		b.curves = append(b.curves, strings.TrimSuffix(model, ".model"))
	}
}

// show puts a data set's images into the report; those of the first
// repetition are enough.
func (b *bootstrap) show(source, label string) {
	if b.seed == b.p.Seed {
		b.shown, b.shownLabels = append(b.shown, source), append(b.shownLabels, b.prefix+label)
	}
}
