package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/datagen/pack"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
	"tempera/workflows/stage"
)

type sftParams struct {
	tuneParams
	Batch   int        `json:"batch" doc:"Rows of tokens of a step. Texts share rows, and none sees another; with images, a text is a row." min:"1"`
	Context int        `json:"context" doc:"Tokens of a row; 0: the model's context. Texts that are longer are left out." min:"0"`
	Learn   chat.Learn `json:"learn" doc:"What is learned: completion (the answer to the prompt, of a conversation its last one), assistant (every answer of a conversation), all (prompts too)." enum:"completion,assistant,all"`
	Weights []float64  `json:"weights,omitempty" doc:"Share of each data set, in the order of the input; absent means by their sizes." above:"0"`
	Noise   float64    `json:"noise" doc:"Noise on the embeddings (NEFTune's alpha, 5 in the paper); 0: none." min:"0"`
}

// Validate reports what no single field shows.
func (p sftParams) Validate() error {
	faults := p.faults(p.Batch)
	if p.Context == 1 {
		faults = append(faults, errors.New("context is 1: give 2 or more, or 0 for the model's"))
	}
	return errors.Join(faults...)
}

// sft trains a language model to write what rows have as answers: supervised
// fine-tuning.
func sft() Kind {
	p := sftParams{tuneParams: defaultTune(), Batch: 16, Learn: chat.Assistant}
	return define(stage.Descriptor{
		Name: "sft", Version: 1, Queue: stage.CPU,
		Headline: []string{"loss", "steps"},
		Summary:  "Fine-tune a language model on conversations, or on prompts with completions",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Where to start from."},
			{Name: "data", Type: artifact.TypeExamples, Many: true, Doc: "Rows with messages, or with prompt and completion; of a vision-language model each with an image."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Rows that are not learned from: the loss on them is measured on the way."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, p, runSFT)
}

func runSFT(ctx context.Context, t *Task, p sftParams) error {
	return tuneOnRows(ctx, t, p, nil)
}

// tuneOnRows trains a language model on rows. teacher makes one that teaches beside
// them; nil: there is none.
func tuneOnRows(ctx context.Context, t *Task, p sftParams, teacher teaching) (err error) {
	u, err := openTuning(ctx, t, p.tuneParams, tuneOptions{})
	if err != nil {
		return err
	}
	defer u.close()
	if p.Context == 0 {
		p.Context = u.model.Config.Text.Context
	}
	if most := u.model.Config.Text.Context; p.Context > most {
		return Invalid(fmt.Errorf("context is %d, the model's is %d: lower it, or give 0", p.Context, most))
	}
	e, err := u.encoder(ctx, chat.Options{Learn: p.Learn})
	if err != nil {
		return err
	}
	l, err := p.lesson(ctx, u, e, teacher)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := (course{t, p.loopParams, u.model, l}).run(ctx); err != nil {
		return err
	}
	return u.publish(ctx)
}

// teaching makes the teacher of a training on a device.
type teaching func(u *tuning, b device.Backend) (*objective.Teacher, error)

// teacher is that of the training on a device; nil: there is none.
func (t teaching) teacher(u *tuning, b device.Backend) (*objective.Teacher, error) {
	if t == nil {
		return nil, nil
	}
	return t(u, b)
}

// lesson is what rows teach a model, with images or without.
func (p sftParams) lesson(ctx context.Context, u *tuning, e *chat.Encoder, teacher teaching) (*lesson, error) {
	if u.model.Config.Kind == model.VLM {
		s, err := openIllustrated(u, p, e)
		if err != nil {
			return nil, err
		}
		s.teaching = teacher
		return s.lesson(ctx)
	}
	return (&packedRows{tuning: u, params: p, encoder: e, teaching: teacher}).lesson(ctx)
}

// answers are rows in tokens, packed as documents of which only answers are
// predicted.
type answers struct{ rows []chat.Encoded }

// Len is part of pack.Documents.
func (a *answers) Len() int { return len(a.rows) }

// Length is part of pack.Documents.
func (a *answers) Length(i int) int { return len(a.rows[i].Tokens) }

// Read is part of pack.Documents.
func (a *answers) Read(i, start int, out []int32) error {
	copy(out, a.rows[i].Tokens[start:])
	return nil
}

// Learn is part of pack.Learned.
func (a *answers) Learn(i, start int, out []bool) error {
	copy(out, a.rows[i].Learn[start:])
	return nil
}

// packedRows makes lessons of rows that share rows of tokens.
type packedRows struct {
	*tuning
	params   sftParams
	encoder  *chat.Encoder
	teaching teaching // nil: texts teach alone
}

// read encodes the rows of a port, set by set.
func (s *packedRows) read(ctx context.Context, port string) ([]*answers, error) {
	sets := make([]*answers, len(s.task.Inputs[port]))
	for i := range sets {
		sets[i] = &answers{}
	}
	_, err := takeRows(ctx, s.task, port, func(set int, x *example.Example) error {
		e, err := s.encoder.Whole(x)
		switch n := len(e.Tokens); {
		case err != nil:
			return err
		case n > s.params.Context:
			return fmt.Errorf("row %s has %d tokens, more than the context of %d", x.ID, n, s.params.Context)
		case e.Learned() == 0:
			return fmt.Errorf("row %s has nothing to learn", x.ID)
		}
		sets[set].rows = append(sets[set].rows, e)
		return nil
	})
	return sets, err
}

func (s *packedRows) config(seed uint64) pack.Config {
	return pack.Config{
		Batch: s.params.Batch, Context: s.params.Context, Mode: pack.Separate, Seed: seed, Pad: s.model.Config.Text.Special.Pad, Ignore: device.IgnoreIndex,
	}
}

// lesson is what the rows of data teach; objective makes what is computed.
func (s *packedRows) lesson(ctx context.Context) (_ *lesson, err error) {
	packer, err := s.pack(ctx)
	if err != nil {
		return nil, err
	}
	shape := objective.PackedShape{Rows: s.params.Batch, Context: s.params.Context, Ends: packer.Spans()}
	o, all, err := parallel.Spread(s.task.Group, s.model, func(m *model.Model) (*objective.PackedLM, error) {
		o, err := s.options(m.Backend())
		if err != nil {
			return nil, err
		}
		l, err := objective.NewTunedLM(m, o, shape)
		return l, Invalid(err)
	})
	if err != nil {
		return nil, err
	}
	l := s.follow(packer, shape)
	l.objective, l.close = all, all.Close
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	return l, s.measure(ctx, l, o.Scorer)
}

// options say how a step is computed on a device.
func (s *packedRows) options(b device.Backend) (objective.TuneOptions, error) {
	teacher, err := s.teaching.teacher(s.tuning, b)
	return objective.TuneOptions{
		Plan:    objective.Plan{Batch: s.params.Batch, Accumulate: s.params.parts(), Checkpoint: s.params.Recompute},
		Noise:   objective.Noise{Alpha: s.params.Noise, Seed: s.params.Seed},
		Teacher: teacher,
	}, err
}

// pack lays the rows of data into batches.
func (s *packedRows) pack(ctx context.Context) (*pack.Packer, error) {
	sets, err := s.read(ctx, "data")
	if err != nil {
		return nil, err
	}
	weights, err := weighted(s.params.Weights, len(sets))
	if err != nil {
		return nil, err
	}
	var parts []pack.Part
	for i, set := range sets {
		if set.Len() == 0 {
			return nil, Invalid(fmt.Errorf("data set %d has no row that can be used: leave it out", i))
		}
		parts = append(parts, pack.Part{Data: set, Weight: weights[i]})
	}
	packer, err := pack.New(s.config(s.params.Seed), parts...)
	return packer, Invalid(err)
}

// follow is a lesson that goes through packed rows.
func (s *packedRows) follow(packer *pack.Packer, shape objective.PackedShape) *lesson {
	return &lesson{
		batch: s.params.Batch, steps: s.params.stepsOf(packer.Steps()), epochs: packer.Epochs, score: "val_loss", lower: true,
		shown: []string{"divergence", "cross_entropy"},
		batches: func(step int64, b *training.Batch) error {
			n, err := packer.Fill(step, textArrays(b, shape))
			b.Note(training.TokensKey, float64(n))
			b.Note("epoch", packer.Epochs(step + 1)[0])
			return err
		},
	}
}

// measure lets a lesson measure the loss on held-out rows, where they are given.
func (s *packedRows) measure(ctx context.Context, l *lesson, scorer func(objective.PackedShape) (*objective.LMScorer, error)) error {
	if _, ok := s.task.Input("held_out"); !ok {
		return nil
	}
	sets, err := s.read(ctx, "held_out")
	if err != nil {
		return err
	}
	pass, err := pack.NewPass(s.config(0), sets[0])
	if err != nil {
		return Invalid(err)
	}
	shape := objective.PackedShape{Rows: s.params.Batch, Context: s.params.Context, Ends: pass.Spans()}
	scoring, err := scorer(shape)
	if err != nil {
		return err
	}
	closeObjective := l.close
	l.close = func() error { return errors.Join(scoring.Close(), closeObjective()) }
	var b training.Batch
	l.evaluate = func(ctx context.Context) (training.Metrics, error) {
		var sum float64
		var count int
		for i := range min(s.params.EvaluateBatches, pass.Batches()) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if _, err := pass.Fill(i, textArrays(&b, shape)); err != nil {
				return nil, err
			}
			nats, tokens, err := scoring.Score(&b)
			if err != nil {
				return nil, err
			}
			sum, count = sum+nats, count+tokens
		}
		return training.Metrics{"val_loss": sum / float64(max(1, count))}, nil
	}
	return nil
}
