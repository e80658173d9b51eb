package activities

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/datagen/document"
	"tempera/datagen/example"
	"tempera/datagen/overlap"
	"tempera/datagen/quarantine"
	"tempera/workflows/stage"
)

// sifting takes the rows of a source, leaves out what says the same as others, and
// deals the rest to learning and measuring.
type sifting struct {
	task   *Task
	params examplesParams
	source exampleSource

	against *exam
	tray    quarantine.Tray
	left    []stage.Quarantine // the first rows that were left out for what they say
	skipped map[string]int

	duplicates, near, overlaps int

	threshold   uint64 // prompts with a hash up to it are held out, with held_out_rows
	train, held *example.Writer
	bytes       int64
}

// exam is the prompts that models are measured on.
type exam struct {
	grams *overlap.Grams
	keys  map[string]struct{} // prompts as they are, pictures included
}

// readAgainst collects the prompts of the evaluation sets; nil without any.
func readAgainst(ctx context.Context, t *Task, words int) (*exam, error) {
	if len(t.Inputs["against"]) == 0 {
		return nil, nil
	}
	e := &exam{overlap.NewGrams(words), map[string]struct{}{}}
	for _, a := range t.Inputs["against"] {
		for row, err := range example.All(ctx, t.Store, a) {
			if err != nil {
				return nil, err
			}
			e.keys[promptOf(row)] = struct{}{}
			if len(row.Pictures) == 0 { // what is asked of a picture is asked of others too
				for _, text := range promptTexts(row) {
					e.grams.Add(text)
				}
			}
		}
	}
	return e, nil
}

// promptTexts are what a row asks.
func promptTexts(e *example.Example) []string {
	if e.Prompt != nil {
		return []string{e.Prompt.String()}
	}
	var texts []string
	for _, m := range e.Messages {
		if m.Role == "user" {
			texts = append(texts, m.Text())
		}
	}
	return texts
}

// textsOf are all texts of a row.
func textsOf(e *example.Example) []string {
	var texts []string
	for _, m := range e.Messages {
		texts = append(texts, m.Reasoning, m.Text())
	}
	for _, t := range []*example.Text{e.Prompt, e.Completion, e.Chosen, e.Rejected} {
		if t != nil {
			texts = append(texts, t.String())
		}
	}
	return append(texts, e.Steps...)
}

// says tells what of a row an evaluation asks; "" if nothing.
func (v *exam) says(e *example.Example, key string) string {
	if v == nil {
		return ""
	}
	if _, ok := v.keys[key]; ok {
		return "its prompt is one of against"
	}
	for _, text := range promptTexts(e) {
		if v.grams.Whole(text) {
			return "its prompt is one of against, word for word"
		}
	}
	for _, text := range textsOf(e) {
		if run := v.grams.Find(text); run != "" {
			return fmt.Sprintf("it shares %q with a prompt of against", run)
		}
	}
	return ""
}

// identity is what makes two rows equal: everything but where they come from.
func identity(e *example.Example) ([32]byte, error) {
	row := *e
	row.ID, row.Source, row.Images = "", "", nil
	raw, err := json.Marshal(&row)
	if err != nil {
		return [32]byte{}, err
	}
	h := sha256.New()
	h.Write(raw)
	for _, p := range e.Pictures {
		sum := sha256.Sum256(p)
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil)), nil
}

// run sifts the rows from the start on. Take returns false where no more are wanted.
func (s *sifting) run(ctx context.Context, take func(ctx context.Context, e *example.Example, key string) (more bool, err error)) error {
	s.tray, s.left, s.skipped, s.duplicates, s.near, s.overlaps, s.bytes = quarantine.Tray{}, nil, map[string]int{}, 0, 0, 0, 0
	stream, meta, err := s.source.open(ctx, s.task, s.params, func(reason string) { s.skipped[reason]++ })
	if err != nil {
		return err
	}
	s.train, s.held = example.NewWriter(s.task.Store, "rows", meta), example.NewWriter(s.task.Store, "held-out", meta)
	twice := s.twice()
	for e, err := range quarantine.Filter(&s.tray, stream) {
		if err != nil {
			return rowsError(err)
		}
		again, err := twice(e)
		if err != nil {
			return err
		}
		if again {
			continue
		}
		key := promptOf(e)
		if why := s.against.says(e, key); why != "" {
			s.overlaps++
			s.leave(e, why)
			continue
		}
		more, err := take(ctx, e, key)
		if err != nil || !more {
			return err
		}
		select {
		case <-s.task.Stopping: // what is in the store already is found there the next time
			return ErrStopped
		default:
		}
	}
	return nil
}

// listedRows is how many rows are named that were left out for what they say.
const listedRows = 100

func (s *sifting) leave(e *example.Example, why string) {
	if len(s.left) < listedRows {
		s.left = append(s.left, stage.Quarantine{Item: e.ID, Reason: why})
	}
}

// twice makes the function that tells whether a row was there before.
func (s *sifting) twice() func(*example.Example) (bool, error) {
	mode := s.params.Duplicates
	if mode == "auto" {
		mode = "keep"
		if s.source.files {
			mode = "exact"
		}
	}
	if mode == "keep" {
		return func(*example.Example) (bool, error) { return false, nil }
	}
	seen := map[[32]byte]struct{}{}
	near := overlap.NewNear(s.params.Similarity)
	return func(e *example.Example) (bool, error) {
		id, err := identity(e)
		if err != nil {
			return false, err
		}
		if _, again := seen[id]; again {
			s.duplicates++
			return true, nil
		}
		seen[id] = struct{}{}
		if mode != "near" || len(e.Pictures) > 0 { // pictures tell rows apart
			return false, nil
		}
		of, dup := near.Add(e.ID, strings.Join(textsOf(e), "\n"))
		if dup {
			s.near++
			s.leave(e, "nearly the same as "+of)
		}
		return dup, nil
	}
}

// chooseHeldOut goes through the rows once to find which prompts have the least
// hashes.
func (s *sifting) chooseHeldOut(ctx context.Context) error {
	hashes := map[uint64]struct{}{}
	limit := s.params.Count + s.params.HeldOutRows
	n := 0
	err := s.run(ctx, func(_ context.Context, _ *example.Example, key string) (bool, error) {
		hashes[promptHash(key)] = struct{}{}
		n++
		return s.params.Count == 0 || n < limit, nil
	})
	if err != nil {
		return err
	}
	if len(hashes) <= s.params.HeldOutRows {
		return Invalid(fmt.Errorf("there are %d prompts, and held_out_rows are %d: nothing is left to learn from", len(hashes), s.params.HeldOutRows))
	}
	all := make([]uint64, 0, len(hashes))
	for h := range hashes {
		all = append(all, h)
	}
	slices.Sort(all)
	s.threshold = all[s.params.HeldOutRows-1]
	return nil
}

// promptHash orders prompts for held_out_rows.
func promptHash(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[8:16])
}

// store deals a row.
func (s *sifting) store(ctx context.Context, e *example.Example, key string) (more bool, err error) {
	for _, text := range textsOf(e) {
		s.bytes += int64(len(text))
	}
	held := document.HeldOut(key, s.params.HeldOut)
	if s.params.HeldOutRows > 0 {
		held = promptHash(key) <= s.threshold
	}
	to := s.train
	if held {
		to = s.held
	}
	if err := to.Add(ctx, e); err != nil {
		return false, err
	}
	n := s.train.Rows()
	if n%1024 == 0 {
		s.task.Progress(Progress{Done: int64(n), Total: int64(s.params.Count), Unit: "rows"})
	}
	return s.params.Count == 0 || n < s.params.Count, nil
}

func (s *sifting) finish(ctx context.Context) error {
	t, p := s.task, s.params
	train, held := s.train.Rows(), s.held.Rows()
	switch {
	case train == 0:
		return Invalid(errors.New("no rows are left to learn from: give more, hold out less, or leave fewer out"))
	case !s.source.files && train < p.Count:
		return Invalid(fmt.Errorf("task %s makes %d different rows, and count is %d: make the task larger, or give duplicates: keep", s.source.name, train, p.Count))
	case (p.HeldOut > 0 || p.HeldOutRows > 0) && held == 0:
		return Invalid(fmt.Errorf("none of the %d rows is held out: raise held_out (%g)", train, p.HeldOut))
	}
	for _, out := range []struct {
		port   string
		writer *example.Writer
	}{{"examples", s.train}, {"held_out", s.held}} {
		if out.writer.Rows() == 0 {
			continue
		}
		a, err := out.writer.Close(ctx)
		if err != nil {
			return err
		}
		t.Output(out.port, a)
	}
	for name, n := range map[string]int{
		"rows": train, "held_out": held, "duplicates": s.duplicates, "near_duplicates": s.near, "overlaps": s.overlaps, "unusable": s.tray.Bad,
	} {
		t.Metric(name, float64(n))
	}
	skipped := 0
	for reason, n := range s.skipped {
		skipped += n
		t.Log.Info("rows that say nothing", "reason", reason, "rows", n)
	}
	t.Metric("skipped", float64(skipped))
	t.Metric("bytes", float64(s.bytes))
	return nil
}
