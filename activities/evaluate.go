package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type evaluateParams struct {
	deviceParams
	Gallery  int    `json:"gallery" doc:"Pairs of one retrieval gallery; recall depends on it." min:"2"`
	Rerank   int    `json:"rerank" doc:"Candidates of each query that the matching head of a blip model ranks anew; 0 does not." min:"0"`
	Captions int    `json:"captions" doc:"Images that a blip or vlm model captions greedily; 0 does not." min:"0"`
	Batch    int    `json:"batch" doc:"Pairs evaluated at a time." min:"1"`
	Seed     uint64 `json:"seed" doc:"Deals the galleries and resamples the intervals."`
	Prompt   string `json:"prompt,omitempty" doc:"vlm: text between image and caption, as in the training."`
	Native   int    `json:"native,omitempty" doc:"vlm of the vision form moonvit: images keep their shapes, with at most so many patches; 0 makes squares of them." min:"0"`
}

// evaluate measures a model on pairs that it was not trained on.
func evaluate() Kind {
	return define(stage.Descriptor{
		Name: "evaluate", Version: 1, Queue: stage.CPU,
		Headline: []string{"r1", "cider_d"},
		Summary:  "Measure retrieval, captioning and zero-shot classification",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What is measured."},
			{Name: "data", Type: artifact.TypeDataset, Doc: "Pairs with right captions."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, captions.jsonl."}},
	}, evaluateParams{Gallery: 256, Rerank: 0, Captions: 512, Batch: 64}, runEvaluate)
}

// Evaluation is metrics.json of an evaluation artifact.
type Evaluation struct {
	Metrics map[string]score.Interval `json:"metrics"`
	Gallery int                       `json:"gallery,omitempty"`
	Pairs   int                       `json:"pairs,omitempty"`
	// Documents are counted where texts are predicted, not pairs matched.
	Documents int `json:"documents,omitempty"`
	// Problems are counted where answers are checked.
	Problems int             `json:"problems,omitempty"`
	Tasks    *TaskTables     `json:"tasks,omitempty"`
	Model    artifact.Digest `json:"model"`
	Data     artifact.Digest `json:"data"`
}

// lowerIsBetter tells of a metric that it is one to be small.
func lowerIsBetter(metric string) bool {
	switch metric {
	case "loss", "val_loss", "bits_per_byte", "perplexity", "length", "length_right", "length_wrong", "cut_off", "calibration_error", "overlap", "gain_p":
		return true
	}
	return false
}

const (
	evaluationFile = "metrics.json"
	captionsFile   = "captions.jsonl"
)

// evaluation is one execution.
type evaluation struct {
	*deployed
	task   *Task
	params evaluateParams
	pairs  *evaluationPairs
	scorer *model.Scorer // nil: the model has no features
	enc    *captionEncoder

	images, texts []float32 // features (n, E)
	found         map[string]score.Interval
	captions      []captioned
}

// captioned is a line of captions.jsonl.
type captioned struct {
	Key        string `json:"key"`
	Caption    string `json:"caption"`
	Reference  string `json:"reference"`
	WhollyTrue *bool  `json:"wholly_true,omitempty"`
}

func runEvaluate(ctx context.Context, t *Task, p evaluateParams) (err error) {
	pairs, from, err := judgeable(ctx, t, sight{p.Native, p.Prompt})
	if err != nil {
		return err
	}
	m, err := from.deploy(t)
	if err != nil {
		return err
	}
	defer m.close()
	e := &evaluation{
		deployed: m, task: t, params: p, pairs: pairs,
		enc: newCaptionEncoder(m.tokenizer, m.model.Config), found: map[string]score.Interval{},
	}
	if m.model.Config.Kind == model.VLM {
		return e.captionsAlone(ctx)
	}
	if e.scorer, err = model.NewScorer(m.model, min(p.Batch, len(pairs.samples))); err != nil {
		return Invalid(err)
	}
	defer func() { err = errors.Join(err, e.scorer.Close()) }()
	for _, measure := range []func(context.Context) error{e.encode, e.retrieval, e.zeroShot, e.captioning} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return e.publish(ctx)
}

func (e *evaluation) bootstrap() score.Bootstrap { return score.Bootstrap{Seed: e.params.Seed} }

func (e *evaluation) encode(context.Context) (err error) {
	if e.images, err = e.scorer.ImageFeatures(e.pairs.images, len(e.pairs.samples)); err != nil {
		return err
	}
	e.texts, err = e.scorer.TextFeatures(e.enc.rows(e.pairs.captions()))
	return err
}

// retrieval measures recall at 1, 5 and 10 in galleries, in percent, both ways
// and their mean. Pictures that show the same stand for each other.
func (e *evaluation) retrieval(context.Context) error {
	shows := make([]string, len(e.pairs.samples))
	for i, s := range e.pairs.samples {
		shows[i] = truth.Key(s.Facts)
	}
	var plain, reranked score.Ranks
	for _, members := range score.Galleries(len(e.pairs.samples), e.params.Gallery, e.params.Seed) {
		g := score.Gallery{
			Images: len(members), Texts: len(members), Scores: e.similarities(members),
			Same: func(i, j int) bool {
				return i == j || truth.Same(shows[members[i]], shows[members[j]])
			},
		}
		r, err := g.Ranks()
		if err != nil {
			return err
		}
		plain.Append(r)
		if e.params.Rerank == 0 || e.model.Config.Kind != model.BLIP {
			continue
		}
		if r, err = e.rerank(g, members); err != nil {
			return err
		}
		reranked.Append(r)
	}
	e.recalls("", plain)
	if len(reranked.ImageToText) > 0 {
		e.recalls("itm_", reranked)
	}
	return nil
}

func (e *evaluation) recalls(prefix string, r score.Ranks) {
	b := e.bootstrap()
	for _, k := range []int{1, 5, 10} {
		i2t, t2i := score.Hits(r.ImageToText, k), score.Hits(r.TextToImage, k)
		both := make([]float64, len(i2t)) // of one pair, both ways: they are resampled together
		for i := range both {
			both[i] = 50 * (i2t[i] + t2i[i])
			i2t[i], t2i[i] = 100*i2t[i], 100*t2i[i]
		}
		e.found[fmt.Sprintf("%sr%d", prefix, k)] = b.Mean(both)
		e.found[fmt.Sprintf("%sr%d_image_to_text", prefix, k)] = b.Mean(i2t)
		e.found[fmt.Sprintf("%sr%d_text_to_image", prefix, k)] = b.Mean(t2i)
	}
}

// similarities are the cosines of the images and texts of a gallery.
func (e *evaluation) similarities(members []int) []float32 {
	return cosines(e.images, e.texts, features{e.scorer.Embed(), members})
}

// features say which rows of two arrays of unit vectors are compared.
type features struct {
	width   int
	members []int
}

// cosines are the products of the rows of images and texts: (n, n).
func cosines(images, texts []float32, f features) []float32 {
	w, n := f.width, len(f.members)
	out := make([]float32, n*n)
	for a, i := range f.members {
		for b, j := range f.members {
			var s float32
			for k := range w {
				s += images[i*w+k] * texts[j*w+k]
			}
			out[a*n+b] = s
		}
	}
	return out
}

// rerank adds the matching probability to the cosine of each query's best
// candidates (Li et al. 2022); the others stay behind them.
func (e *evaluation) rerank(g score.Gallery, members []int) (score.Ranks, error) {
	n, pixels := len(members), e.model.Config.Vision.Pixels()
	images, captions := make([]float32, n*pixels), make([]string, n)
	for a, i := range members {
		copy(images[a*pixels:], e.pairs.images[i*pixels:(i+1)*pixels])
		captions[a] = e.pairs.samples[i].Caption
	}
	candidate := map[model.Pair]bool{}
	for q := range n {
		row, column := g.Scores[q*n:(q+1)*n], make([]float32, n)
		for i := range n {
			column[i] = g.Scores[i*n+q]
		}
		for _, k := range score.TopK(row, e.params.Rerank) {
			candidate[model.Pair{Image: q, Text: k}] = true
		}
		for _, k := range score.TopK(column, e.params.Rerank) {
			candidate[model.Pair{Image: k, Text: q}] = true
		}
	}
	var list []model.Pair
	for i := range n {
		for j := range n {
			if p := (model.Pair{Image: i, Text: j}); candidate[p] {
				list = append(list, p)
			}
		}
	}
	tokens, lengths := e.enc.rows(captions)
	match, err := e.scorer.MatchPairs(images, tokens, lengths, list)
	if err != nil {
		return score.Ranks{}, err
	}
	g.Scores = slices.Clone(g.Scores)
	for k, p := range list {
		g.Scores[p.Image*n+p.Text] += match[k] + 2 // ahead of every cosine alone
	}
	return g.Ranks()
}

// zeroShot classifies the pictures that show one thing by the caption "a <thing>".
func (e *evaluation) zeroShot(context.Context) error {
	var classes []string
	var members []int
	for i, s := range e.pairs.samples {
		if len(s.Facts.Concepts) == 1 {
			classes, members = append(classes, s.Facts.Concepts[0]), append(members, i)
		}
	}
	labels := slices.Clone(classes)
	slices.Sort(classes)
	if classes = slices.Compact(classes); len(classes) < 2 {
		return nil
	}
	prompts := make([]string, len(classes))
	for i, c := range classes {
		prompts[i] = "a " + c
	}
	prototypes, err := e.scorer.TextFeatures(e.enc.rows(prompts))
	if err != nil {
		return err
	}
	z := score.ZeroShot{Width: e.scorer.Embed(), Prototypes: prototypes}
	for k, i := range members {
		at, _ := slices.BinarySearch(classes, labels[k])
		z.Labels = append(z.Labels, at)
		z.Features = append(z.Features, e.images[i*z.Width:(i+1)*z.Width]...)
	}
	correct, err := z.Correct()
	if err != nil {
		return err
	}
	e.found["zero_shot"] = e.bootstrap().Mean(percent(correct))
	return nil
}

func percent(shares []float64) []float64 {
	for i := range shares {
		shares[i] *= 100
	}
	return shares
}

// publish writes the evaluation.
func (e *evaluation) publish(ctx context.Context) error {
	t := e.task
	lines, err := encodeLines(e.captions)
	if err != nil {
		return err
	}
	return publishEvaluation(ctx, t, Evaluation{
		Metrics: e.found, Gallery: min(e.params.Gallery, len(e.pairs.samples)), Pairs: len(e.pairs.samples),
		Model: t.Inputs["model"][0].Digest, Data: t.Inputs["data"][0].Digest,
	}, text{captionsFile, lines})
}

// publishEvaluation writes an evaluation with a table for people and more files, and
// puts the means into the stage's metrics.
func publishEvaluation(ctx context.Context, t *Task, e Evaluation, more ...text) error {
	data, err := artifact.EncodeJSON(e)
	if err != nil {
		return err
	}
	a, err := putTexts(ctx, t.Store, artifact.TypeEvaluation, append([]text{{evaluationFile, data}, {ResultsFile, []byte(e.markdown())}}, more...))
	if err != nil {
		return err
	}
	t.Output("evaluation", a)
	for name, v := range e.Metrics {
		t.Metric(name, v.Mean)
	}
	return nil
}

// loadEvaluation reads an evaluation artifact.
func loadEvaluation(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (Evaluation, error) {
	var e Evaluation
	err := readJSONFile(ctx, s, a, jsonFile{evaluationFile, &e})
	return e, err
}

type jsonFile struct {
	path string
	into any
}

// readJSONFile decodes one file of an artifact.
func readJSONFile(ctx context.Context, s artifact.Blobs, a artifact.Artifact, f jsonFile) error {
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return err
	}
	file, err := m.Find(f.path)
	if err != nil {
		return Invalid(err)
	}
	data, err := artifact.ReadAll(ctx, s, file.Digest, artifact.MaxJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, f.into); err != nil {
		return Invalid(fmt.Errorf("%s of %s: %w", f.path, a.Digest, err))
	}
	return nil
}

// sampled reads up to n samples of a data set.
func sampled(ctx context.Context, t *Task, a artifact.Artifact, n int) (_ []sample.Sample, total int, err error) {
	set, err := shard.Open(ctx, t.Store, a, t.Scratch)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	var out []sample.Sample
	for s, err := range set.All(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if out = append(out, s); len(out) == n {
			break
		}
	}
	return out, set.Len(), nil
}
