package activities

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/datagen/sample"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training/model"
	"tempera/workflows/stage"
)

// sampling says how completions are written.
type sampling struct {
	Samples     int      `json:"samples" doc:"Completions of each prompt." min:"1" max:"65536"`
	Temperature float64  `json:"temperature" doc:"Of the sampling; 0 takes the likeliest token always." min:"0" max:"100"`
	TopP        float64  `json:"top_p" doc:"Nucleus that is sampled from; 0: all tokens." min:"0" max:"1"`
	MaxTokens   int      `json:"max_tokens" doc:"Most tokens of a completion, the ending one included; fewer where the context ends." min:"1"`
	Stop        []string `json:"stop" doc:"Strings that end a completion, of which they are part."`
	Batch       int      `json:"batch" doc:"Completions that are written at a time." min:"1"`
	Seed        uint64   `json:"seed" doc:"Of the sampling; a completion depends on it and on its row's id only."`
}

func (s sampling) faults() []error {
	var faults []error
	if s.Temperature == 0 && s.Samples > 1 {
		faults = append(faults, fmt.Errorf("temperature is 0 and samples %d: they would all be the same, set a temperature, such as 1", s.Samples))
	}
	if s.Temperature == 0 && s.TopP > 0 {
		faults = append(faults, errors.New("top_p is set and temperature is 0: set a temperature, or top_p to 0"))
	}
	return faults
}

func (s sampling) search() generate.Search {
	return generate.Search{Temperature: s.Temperature, TopP: s.TopP}
}

// completion is what a model wrote.
type completion struct {
	text    string
	tokens  int // the ending one included
	ended   bool
	budget  int
	logProb float64
	drawn   *example.Drawn // nil unless asked for
}

// rolled is a row with its completions.
type rolled struct {
	row         *example.Example
	completions []completion
}

// samples are the completions as rewards take them.
func (r rolled) samples() []reward.Sample {
	out := make([]reward.Sample, len(r.completions))
	for i, c := range r.completions {
		out[i] = reward.Sample{Example: r.row, Text: c.text, Tokens: c.tokens, Ended: c.ended, Budget: c.budget}
	}
	return out
}

// sampler lets a model write to prompts.
type sampler struct {
	task    *Task
	from    *loadedModel
	encoder *rowEncoder
	writer  *generate.Generator
	params  sampling
	written *samplingProgress
	eye     *eye // nil: the model sees nothing
	// recording keeps what was drawn, token by token.
	recording bool
}

// samplerOptions say who writes and how.
type samplerOptions struct {
	sampling
	dev     *compute
	port    string            // of the model
	written *samplingProgress // that the stage's samplers share; nil: the stage calls no write
}

// newSampler loads the model of a port.
func newSampler(ctx context.Context, t *Task, o samplerOptions) (*sampler, error) {
	source, _ := t.Input(o.port)
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, err
	}
	c := from.weights.Config
	if c.Kind != model.LM && c.Kind != model.VLM {
		return nil, Invalid(fmt.Errorf("input %s is a model of kind %s: completions are written by one of kind lm or vlm", o.port, c.Kind))
	}
	encoder, err := newRowEncoder(ctx, t, from)
	if err != nil {
		return nil, err
	}
	writer, err := generate.New(o.dev.engine, c, from.weights.Get, generate.Options{Rows: o.Batch, Decode: encoder.text, Device: o.dev.paged()})
	if err != nil {
		return nil, Invalid(err)
	}
	eye, err := openEye(o.dev, from)
	if err != nil {
		return nil, Invalid(err)
	}
	return &sampler{task: t, from: from, encoder: encoder, writer: writer, params: o.sampling, written: o.written, eye: eye}, nil
}

// close frees what the sampler holds.
func (s *sampler) close() error { return errors.Join(s.writer.Close(), s.eye.close()) }

// prompted is a row that a model can write to.
type prompted struct {
	row    *example.Example
	tokens []int32
	parts  []generate.Part // the tokens, with rows in place of those of pictures
}

// prompts encodes the prompts of rows. What is no problem, or does not fit, is left out and quarantined.
func (s *sampler) prompts(rows iter.Seq2[*example.Example, error], most int) ([]prompted, error) {
	var out []prompted
	left := 0
	for row, err := range rows {
		var fault *sample.Fault
		switch {
		case errors.As(err, &fault):
			s.leaveOut(fault.Item, fault.Why())
			left++
			continue
		case err != nil:
			return nil, err
		}
		p, err := s.prompt(row)
		if err != nil {
			s.leaveOut(row.ID, err.Error())
			left++
			continue
		}
		out = append(out, p)
		if len(out) == most {
			break
		}
	}
	s.task.Result.Quarantined, s.task.Result.Metrics = listed(s.task.Result.Quarantined, s.task.Result.Metrics)
	if len(out) == 0 && s.task.Shard == nil {
		return nil, Invalid(fmt.Errorf("none of %d rows has a prompt that the model can write to%s", left, firstReason(s.task.Result.Quarantined)))
	}
	return out, nil
}

func firstReason(items []stage.Quarantine) string {
	if len(items) == 0 {
		return ""
	}
	return fmt.Sprintf("; the first, %s: %s", items[0].Item, items[0].Reason)
}

func (s *sampler) leaveOut(item, reason string) {
	s.task.Result.Quarantined = append(s.task.Result.Quarantined, stage.Quarantine{Item: item, Reason: reason})
}

func (s *sampler) prompt(row *example.Example) (prompted, error) {
	x, err := s.encoder.chat.Prompt(row)
	if err != nil {
		return prompted{}, err
	}
	if room := s.from.weights.Config.Text.Context - 1; len(x.Tokens) > room {
		return prompted{}, fmt.Errorf("its prompt has %d tokens, and the context of %d leaves no room: shorten it", len(x.Tokens), room+1)
	}
	p := prompted{row: row, tokens: x.Tokens}
	p.parts, err = s.illustrated(x, row.Pictures)
	return p, err
}

// illustrated are the tokens of a row in which those of pictures are rows of the model's width.
func (s *sampler) illustrated(x chat.Encoded, pictures [][]byte) ([]generate.Part, error) {
	if len(x.Images) == 0 {
		return generate.Tokens(x.Tokens...), nil
	}
	seen, err := s.eye.read(pictures)
	if err != nil {
		return nil, err
	}
	return s.eye.prompt(x.Tokens, seen)
}

// openEye makes the eye of a model that is not loaded otherwise.
func openEye(dev *compute, from *loadedModel) (*eye, error) {
	if from.weights.Config.Kind != model.VLM {
		return nil, nil
	}
	m, err := model.Load(dev.backend, from.weights)
	if err != nil {
		return nil, err
	}
	return newEye(m, 1)
}

// chunk is how many completions are asked for between two looks at the clock.
const chunk = 1024

// write gives every prompt its completions. A pass, which an earlier attempt may have begun, has a name of its own in the stage.
func (s *sampler) write(ctx context.Context, pass string, prompts []prompted) ([]rolled, error) {
	out := s.written.before(pass, prompts)
	for at := len(out); at < len(prompts); at = len(out) {
		part, err := s.writePart(ctx, prompts[at:min(len(prompts), at+max(1, chunk/s.params.Samples))])
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
		if err := s.written.add(ctx, pass, part); err != nil {
			return nil, err
		}
		s.task.Progress(Progress{Done: int64(len(out)), Total: int64(len(prompts)), Unit: "prompts"})
	}
	return out, nil
}

func (s *sampler) writePart(ctx context.Context, prompts []prompted) ([]rolled, error) {
	out := make([]rolled, len(prompts))
	var alone, inWorld []int
	requests := make([]generate.Request, 0, len(prompts))
	for i, p := range prompts {
		out[i].row = p.row
		if r := s.request(p); repliesTo(p.row) != nil && r.MaxTokens > 2 {
			inWorld = append(inWorld, i)
		} else {
			alone, requests = append(alone, i), append(requests, r)
		}
	}
	results, err := s.writer.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	for k, i := range alone {
		for _, text := range results[k].Texts {
			out[i].completions = append(out[i].completions, s.completion(text, requests[k].MaxTokens))
		}
	}
	if err := s.converse(ctx, prompts, out, inWorld); err != nil {
		return nil, err
	}
	for i, p := range prompts {
		s.record(p, out[i].completions)
	}
	return out, nil
}

func (s *sampler) request(p prompted) generate.Request {
	c := s.from.weights.Config.Text
	suppressed := s.encoder.suppressed()
	if s.recording { // what is learned from is drawn from the policy as it is
		suppressed = nil
	}
	return generate.Request{
		Prompt: p.parts, Samples: s.params.Samples, Seed: sample.Random(s.params.Seed, p.row.ID, 0).Uint64(), Search: s.params.search(),
		MaxTokens: min(s.params.MaxTokens, c.Context-len(p.tokens)), Suppress: suppressed, StopTokens: s.encoder.stop,
		Stop: s.params.Stop, KeepStop: len(s.params.Stop) > 0,
	}
}

func (s *sampler) completion(text generate.Text, budget int) completion {
	c := completion{
		text: s.encoder.text(text.Tokens), tokens: len(text.LogProbs), ended: text.End != generate.EndLength, budget: budget, logProb: text.LogProb,
	}
	if s.recording {
		c.drawn = drawnOf(text)
	}
	return c
}

// rowsOf are the rows of the task's shard, or of the whole input where the stage is not mapped.
func rowsOf(ctx context.Context, t *Task, a artifact.Artifact) example.Stream {
	if t.Shard != nil {
		return example.Shard(ctx, t.Store, a, t.Shard.Index)
	}
	return example.All(ctx, t.Store, a)
}
