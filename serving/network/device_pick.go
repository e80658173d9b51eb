package network

import (
	"errors"
	"math"

	"tempera/training/device"
)

// Of device.PickArgs: the words of a row that asks, and of what is picked.
const (
	askWords  = 6
	pickWords = 3
)

// askedBy lists the last rows of the runs that ask for a token, how they choose, and what is hidden from them, `most` tokens each.
func askedBy(runs []Run) (rows, asks, hidden []int32, most int) {
	for _, r := range runs {
		if r.Ask != nil {
			most = max(most, len(r.Ask.Hidden))
		}
	}
	row := 0
	for _, r := range runs {
		row += len(r.Tokens)
		a := r.Ask
		if a == nil {
			continue
		}
		inverse := float32(0)
		if a.Temperature > 0 {
			inverse = float32(1 / a.Temperature)
		}
		rows = append(rows, int32(row-1))
		asks = append(asks, bits(inverse), int32(a.TopK), bits(float32(a.TopP)), bits(float32(a.MinP)), int32(a.Draw), int32(a.Draw>>32))
		hidden = append(hidden, a.Hidden...)
		for range most - len(a.Hidden) {
			hidden = append(hidden, -1)
		}
	}
	return rows, asks, hidden, most
}

func bits(x float32) int32 { return int32(math.Float32bits(x)) }

// Picks tells that runs may ask for tokens.
func (c *DeviceCache) Picks() bool { return true }

// pick chooses tokens by the states of the rows that ask.
func (p *pass) pick() {
	t := p.c.net.config.Text
	n := p.asking.Size()
	states, logits := p.act("states", n, t.Width), p.buf("logits", device.Floats(n, t.Vocab))
	p.mean, p.rstd = p.buf("mean", device.Floats(n)), p.buf("rstd", device.Floats(n))
	if len(p.errs) > 0 {
		return
	}
	p.b.Gather(device.GatherArgs{TableRows: p.rows, Cols: t.Width, Table: p.x, Index: p.asking, Y: states})
	p.normalize(p.c.net.final, states, states, n)
	p.multiply(p.c.net.head, device.GemmArgs{M: n, A: states, C: logits})
	p.b.Pick(device.PickArgs{Rows: n, Vocab: t.Vocab, Logits: logits, Asks: p.asks, Hidden: p.barred, Picked: p.picked})
}

// picks brings back what was chosen.
func (p *pass) picks() ([]Pick, error) {
	if p.picked == nil {
		return nil, nil
	}
	words, err := device.ReadInts(p.b, p.picked)
	if err != nil {
		return nil, err
	}
	picks := make([]Pick, p.picked.Rows())
	for i := range picks {
		w := words[i*pickWords:]
		picks[i] = Pick{Token: w[0], LogProb: math.Float32frombits(uint32(w[1])), Sampled: math.Float32frombits(uint32(w[2]))}
	}
	return picks, nil
}

// step is the shape of a pass that adds a token to each of some texts and picks the next. Passes of one step ask a device for the same work.
type step struct{ rows, pages, most, imagePages, mostSeen, hidden int }

// step tells the shape of a pass; the zero value is that of all others.
func (p *pass) step(runs []Run) step {
	for _, r := range runs {
		if r.Ask == nil || r.States > 0 || len(r.Tokens) != 1 || r.Tokens[0] < 0 {
			return step{}
		}
	}
	s := step{rows: p.rows, pages: p.table.Cols(), most: p.most, mostSeen: p.mostSeen}
	if p.images != nil {
		s.imagePages = p.images.Cols()
	}
	if p.barred != nil {
		s.hidden = p.barred.Cols()
	}
	return s
}

// mostSteps is how many steps are kept recorded.
const mostSteps = 128

// repeat does the work of a step: the second time it is recorded, where the device records, and from then on replayed.
func (c *DeviceCache) repeat(s step, work func() error) error {
	r, ok := c.net.backend.(device.Recorder)
	if !ok || s == (step{}) || !r.Records() {
		return work()
	}
	made, seen := c.steps[s]
	switch {
	case made != nil:
		return made.Replay()
	case !seen:
		if err := work(); err != nil {
			return err
		}
		if len(c.steps) >= mostSteps {
			if err := c.forget(); err != nil {
				return err
			}
		}
		c.steps[s] = nil
		return nil
	}
	if err := r.Record(); err != nil {
		return err
	}
	asked := work()
	made, err := r.Recorded()
	if err := errors.Join(asked, err); err != nil {
		return err
	}
	c.steps[s] = made
	return made.Replay()
}

// forget drops the recordings: what they work on has moved.
func (c *DeviceCache) forget() error {
	var errs []error
	for _, made := range c.steps {
		if made != nil {
			errs = append(errs, made.Close())
		}
	}
	clear(c.steps)
	return errors.Join(errs...)
}
