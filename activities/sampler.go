package activities

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/datagen/sample"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training/model"
	"tempera/training/tokenizer"
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
	// recording keeps what was drawn, token by token.
	recording bool
}

// newSampler loads the model of a port.
func newSampler(ctx context.Context, t *Task, dev *compute, port string, p sampling) (*sampler, error) {
	source, _ := t.Input(port)
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, err
	}
	c := from.weights.Config
	if c.Kind != model.LM {
		return nil, Invalid(fmt.Errorf("input %s is a model of kind %s: completions are written by one of kind lm", port, c.Kind))
	}
	encoder, err := newRowEncoder(ctx, t, from)
	if err != nil {
		return nil, err
	}
	writer, err := generate.New(dev.engine, c, from.weights.Get, generate.Options{Rows: p.Batch, Decode: encoder.text})
	if err != nil {
		return nil, Invalid(err)
	}
	return &sampler{task: t, from: from, encoder: encoder, writer: writer, params: p}, nil
}

// prompted is a row that a model can write to.
type prompted struct {
	row    *example.Example
	tokens []int32
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
		ids, err := s.prompt(row)
		if err != nil {
			s.leaveOut(row.ID, err.Error())
			left++
			continue
		}
		out = append(out, prompted{row, ids})
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

func (s *sampler) prompt(row *example.Example) ([]int32, error) {
	if row.Prompt == nil {
		return nil, errors.New("it has no prompt")
	}
	ids, err := s.encoder.prompt(row)
	if err != nil {
		return nil, err
	}
	if room := s.from.weights.Config.Text.Context - 1; len(ids) > room {
		return nil, fmt.Errorf("its prompt has %d tokens, and the context of %d leaves no room: shorten it", len(ids), room+1)
	}
	return ids, nil
}

// chunk is how many completions are asked for between two looks at the clock.
const chunk = 1024

// write gives every prompt its completions.
func (s *sampler) write(ctx context.Context, prompts []prompted) ([]rolled, error) {
	out := make([]rolled, 0, len(prompts))
	for at := 0; at < len(prompts); {
		select {
		case <-s.task.Stopping:
			return nil, ErrStopped
		default:
		}
		end := min(len(prompts), at+max(1, chunk/s.params.Samples))
		part, err := s.writePart(ctx, prompts[at:end])
		if err != nil {
			return nil, err
		}
		out, at = append(out, part...), end
		s.task.Progress(Progress{Done: int64(at), Total: int64(len(prompts)), Unit: "prompts"})
	}
	return out, nil
}

func (s *sampler) writePart(ctx context.Context, prompts []prompted) ([]rolled, error) {
	requests := make([]generate.Request, len(prompts))
	for i, p := range prompts {
		requests[i] = s.request(p)
	}
	replied, err := s.reply(ctx, prompts, requests)
	if err != nil {
		return nil, err
	}
	results, err := s.writer.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	out := make([]rolled, len(prompts))
	for i, r := range results {
		out[i].row = prompts[i].row
		if replied[i] != nil {
			out[i].completions = replied[i]
		} else {
			for _, text := range r.Texts {
				out[i].completions = append(out[i].completions, s.completion(text, requests[i].MaxTokens))
			}
		}
		s.record(prompts[i], out[i].completions)
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
		Prompt: generate.Tokens(p.tokens...), Samples: s.params.Samples, Seed: sample.Random(s.params.Seed, p.row.ID, 0).Uint64(), Search: s.params.search(),
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

// reply plays the tasks in which the world answers to the first token: that token is written, the world says its word, and the text goes on. The other
// requests stay as they are; those that were played ask for one token only.
func (s *sampler) reply(ctx context.Context, prompts []prompted, requests []generate.Request) ([][]completion, error) {
	out := make([][]completion, len(prompts))
	for i, p := range prompts {
		if p.row.Problem == nil {
			continue
		}
		kind, err := task.Find(p.row.Problem.Task)
		if err != nil || kind.Reply == nil || requests[i].MaxTokens < 3 {
			continue
		}
		opening := requests[i]
		opening.MaxTokens = 1
		first, err := s.writer.Generate(ctx, []generate.Request{opening})
		if err != nil {
			return nil, err
		}
		for k, text := range first[0].Texts {
			c, err := s.goOn(ctx, requests[i], p, turn{kind, text, uint64(k)})
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], c)
		}
		requests[i].MaxTokens, requests[i].Samples = 1, 1
	}
	return out, nil
}

// turn is the first token of a text in a task whose world replies.
type turn struct {
	kind  task.Task
	first generate.Text
	n     uint64
}

// goOn writes the rest of a text behind the world's reply.
func (s *sampler) goOn(ctx context.Context, r generate.Request, p prompted, t turn) (completion, error) {
	said := s.completion(t.first, r.MaxTokens)
	heard := t.kind.Reply(p.row.Problem, said.text)
	if heard == "" || t.first.End == generate.EndEOS {
		return said, nil
	}
	ids := append(append([]int32{}, t.first.Tokens...), s.from.tokenizer.EncodePiece(tokenizer.Piece{Text: heard, Joins: true, Added: tokenizer.VisibleAdded})...)
	budget := r.MaxTokens - len(ids)
	if budget < 1 {
		return said, nil
	}
	r.Prompt, r.Samples, r.MaxTokens = append(r.Prompt[:len(r.Prompt):len(r.Prompt)], generate.Part{Tokens: ids}), 1, budget
	r.Seed = sample.Random(s.params.Seed, p.row.ID, 1+t.n).Uint64()
	rest, err := s.writer.Generate(ctx, []generate.Request{r})
	if err != nil {
		return completion{}, err
	}
	c := s.completion(rest[0].Texts[0], said.budget)
	c.text, c.tokens, c.logProb = said.text+heard+c.text, c.tokens+len(ids), c.logProb+said.logProb
	if s.recording {
		c.drawn = joined(said.drawn, ids, c.drawn)
	}
	return c, nil
}

// rowsOf are the rows of the task's shard, or of the whole input where the stage is not mapped.
func rowsOf(ctx context.Context, t *Task, a artifact.Artifact) example.Stream {
	if t.Shard != nil {
		return example.Shard(ctx, t.Store, a, t.Shard.Index)
	}
	return example.All(ctx, t.Store, a)
}
