package generate

import (
	"errors"
	"math"
	"slices"

	"tempera/serving/network"
	"tempera/serving/page"
	"tempera/training/kernel"
)

// errNoToken is what a model with parameters that are not finite runs into.
var errNoToken = errors.New("no token has a likelihood: the model's logits are not numbers")

// plan is what passes through the network in one step.
type plan struct {
	runs    []network.Run
	prompts []promptRun // by run; those that want states
	decodes []decodeRun
	picks   []*unit // of the runs that ask for a token
	states  int
	budget  int // prompt tokens that may still join
	fault   error
}

// promptRun is a piece of a prompt, [from, to), of whose last tokens rows states are wanted; they begin at row at.
type promptRun struct {
	job                *job
	from, to, at, rows int
}

// decodeRun is the next tokens of a unit's branches, whose states begin at row at.
type decodeRun struct {
	unit *unit
	at   int
}

// step runs every unit for a token, or a piece of a prompt.
func (g *Generator) step() {
	g.dropCancelled()
	g.admit()
	p := g.plan()
	if err := g.pass(p); err != nil {
		g.failAll(err)
	}
	g.begin()
	g.settle()
}

// pass runs what is planned and reads the result. The error is the device's.
func (g *Generator) pass(p *plan) error {
	if p.fault != nil || len(p.runs) == 0 {
		return p.fault
	}
	out, err := g.cache.Forward(p.runs)
	if err != nil {
		return err
	}
	if err := g.readPrompts(p.prompts, out.States); err != nil {
		return err
	}
	if err := g.decodeAll(p.decodes, out.States); err != nil {
		return err
	}
	turns := make([]turn, len(p.picks))
	for i, u := range p.picks {
		turns[i] = turn{unit: u, pick: &out.Picks[i]}
	}
	g.advance(turns)
	return nil
}

// failAll ends every job that runs with a fault of the device.
func (g *Generator) failAll(err error) {
	var jobs []*job
	for _, u := range g.running {
		if u.job.err == nil {
			u.job.err = err
			jobs = append(jobs, u.job)
		}
	}
	g.fail(jobs)
}

// plan lists the runs of a step, in the order of the units, and reserves their pages.
func (g *Generator) plan() *plan {
	p := &plan{budget: g.options.Prefill}
	planned := map[*job]bool{}
	for i := 0; i < len(g.running); i++ {
		u := g.running[i]
		runs, prompts, decodes, picks, states := len(p.runs), len(p.prompts), len(p.decodes), len(p.picks), p.states
		ok := true
		switch {
		case u.forked:
			ok = g.planText(p, u)
		case !planned[u.job]:
			planned[u.job] = true
			ok = g.planPrompt(p, u)
		}
		if !ok { // u waits again; the units before it keep their runs
			p.runs, p.prompts, p.decodes, p.picks, p.states = p.runs[:runs], p.prompts[:prompts], p.decodes[:decodes], p.picks[:picks], states
			break
		}
	}
	return p
}

// planPrompt adds the next piece of a prompt.
func (g *Generator) planPrompt(p *plan, u *unit) bool {
	j := u.job
	if n := g.imageTokens; n > 0 && j.prompt.seen.Tokens == 0 {
		if !g.reserve(u, &j.prompt.seen, n) {
			return false
		}
		p.fault = errors.Join(p.fault, g.cache.See(j.prompt.image, &j.prompt.seen))
	}
	from := j.prompt.table.Tokens
	to := min(len(j.prompt.ids), from+p.budget)
	if from == to {
		return true
	}
	if !g.reserve(u, &j.prompt.table, to-from) {
		return false
	}
	p.budget -= to - from
	r := network.Run{
		Tokens: j.prompt.ids[from:to], Embeddings: j.prompt.rows(from, to, g.config.Text.Width),
		Table: &j.prompt.table, Image: j.image(),
	}
	switch {
	case j.prompt.scoreWanted:
		r.States = to - from
	case to == len(j.prompt.ids):
		r.States = 1
	}
	if r.States > 0 {
		p.prompts = append(p.prompts, promptRun{job: j, from: from, to: to, at: p.states, rows: r.States})
	}
	p.add(r)
	return true
}

// planText adds the next token of every branch or, where some were preempted and have more to catch up, those.
func (g *Generator) planText(p *plan, u *unit) bool {
	behind := false
	for b := range u.branches {
		t, tokens := &u.branches[b], u.text.tokens(b)
		fed := t.Tokens - len(u.job.prompt.ids)
		n := min(len(tokens)-1-fed, p.budget)
		behind = behind || fed < len(tokens)-1
		if n < 1 {
			continue
		}
		if !g.reserve(u, t, n) {
			return false
		}
		p.budget -= n
		p.add(network.Run{Tokens: tokens[fed : fed+n], Table: t, Image: u.job.image()})
	}
	if behind {
		return true
	}
	if s, ok := u.text.(*sequence); ok && g.cache.Picks() {
		if ask := s.ask(); ask != nil {
			if !g.reserve(u, &u.branches[0], 1) {
				return false
			}
			tokens := s.tokens(0)
			p.picks = append(p.picks, u)
			p.add(network.Run{Tokens: tokens[len(tokens)-1:], Table: &u.branches[0], Image: u.job.image(), Ask: ask})
			return true
		}
	}
	p.decodes = append(p.decodes, decodeRun{u, p.states})
	for b := range u.branches {
		if !g.reserve(u, &u.branches[b], 1) {
			return false
		}
		tokens := u.text.tokens(b)
		p.add(network.Run{Tokens: tokens[len(tokens)-1:], Table: &u.branches[b], Image: u.job.image(), States: 1})
	}
	return true
}

func (p *plan) add(r network.Run) {
	p.runs = append(p.runs, r)
	p.states += r.States
}

// image is the table of the job's image; nil where there is none.
func (j *job) image() *page.Table {
	if j.prompt.seen.Tokens == 0 {
		return nil
	}
	return &j.prompt.seen
}

// logitValues is the number of logits that are computed at a time: 64 MiB of them.
const logitValues = 16 << 20

// logitRows is how many rows of them that is.
func (g *Generator) logitRows() int { return max(1, logitValues/g.config.Text.Vocab) }

// view computes the logits of n states and their log-probabilities at a temperature. It holds until the next call.
func (g *Generator) view(states []float32, n int, temperature float64) (view, error) {
	v := g.config.Text.Vocab
	logits, err := g.cache.Logits(states, n)
	if err != nil {
		return view{}, err
	}
	if cap(g.logProbs) < n*v {
		g.logProbs = make([]float32, n*v)
	}
	g.logProbs = g.logProbs[:n*v]
	g.engine.Softmax(kernel.SoftmaxArgs{Rows: n, Cols: v, X: logits, Y: g.logProbs, Scale: float32(1 / temperature), Log: true})
	return view{logits, g.logProbs, v}, nil
}

// readPrompts takes the states of pieces of prompts: the scores of their tokens where they are wanted, and the logits after their ends.
func (g *Generator) readPrompts(runs []promptRun, states []float32) error {
	w := g.config.Text.Width
	var ended []*prompt
	var last []float32 // their last states
	for _, r := range runs {
		q := &r.job.prompt
		if q.scoreWanted {
			err := g.score(q, r.from, r.to, states[r.at*w:])
			if err != nil && !errors.Is(err, errNoToken) {
				return err
			}
			if err != nil {
				r.job.err = err
				g.fail([]*job{r.job})
				continue
			}
		}
		if r.to == len(q.ids) {
			ended = append(ended, q)
			last = append(last, states[(r.at+r.rows-1)*w:][:w]...)
		}
	}
	most := g.logitRows()
	for len(ended) > 0 {
		n := min(most, len(ended))
		v, err := g.view(last, n, 1)
		if err != nil {
			return err
		}
		for i, q := range ended[:n] {
			row := v.rows(i, 1)
			q.logits, q.logProbs = slices.Clone(row.logits), slices.Clone(row.logProbs)
		}
		ended, last = ended[n:], last[n*w:]
	}
	return nil
}

// score writes the log-probabilities of the tokens that follow [from, to).
func (g *Generator) score(q *prompt, from, to int, states []float32) error {
	if q.tokenScores == nil {
		q.tokenScores = make([]float32, len(q.ids))
	}
	w, most := g.config.Text.Width, g.logitRows()
	to = min(to, len(q.ids)-1)
	for lo := from; lo < to; lo += most {
		n := min(most, to-lo)
		v, err := g.view(states[(lo-from)*w:], n, q.temperature)
		if err != nil {
			return err
		}
		for i := range n {
			if !finite(g.engine, v.rows(i, 1)) {
				return errNoToken
			}
			if id := q.ids[lo+i+1]; id >= 0 {
				q.tokenScores[lo+i+1] = v.rows(i, 1).logProbs[id]
			}
		}
	}
	return nil
}

// finite tells whether a row's logits are all numbers.
func finite(e *kernel.Engine, row view) bool {
	s := e.SumSquares(row.logits)
	return !math.IsNaN(s) && !math.IsInf(s, 0)
}

// decodeAll lets units choose, as many at a time as logits fit.
func (g *Generator) decodeAll(d []decodeRun, states []float32) error {
	most := g.logitRows()
	for len(d) > 0 {
		n, rows := 1, d[0].unit.width()
		for n < len(d) && rows+d[n].unit.width() <= most {
			rows += d[n].unit.width()
			n++
		}
		v, err := g.view(states[d[0].at*g.config.Text.Width:], rows, 1)
		if err != nil {
			return err
		}
		turns := make([]turn, n)
		for i := range turns {
			turns[i] = turn{unit: d[i].unit, view: v.rows(d[i].at-d[0].at, d[i].unit.width())}
		}
		g.advance(turns)
		d = d[n:]
	}
	return nil
}

// begin lets the units whose prompt has passed take it over; those that have written nothing choose their first token.
func (g *Generator) begin() {
	var turns []turn
	for _, u := range g.running {
		p := &u.job.prompt
		if u.forked || p.logits == nil {
			continue
		}
		if u.text != nil {
			g.fork(u)
			if len(u.text.tokens(0)) > 0 {
				continue
			}
		}
		turns = append(turns, turn{unit: u, view: view{p.logits, p.logProbs, g.config.Text.Vocab}})
	}
	g.advance(turns)
}

// turn is a unit that chooses.
type turn struct {
	unit *unit
	view
	pick *network.Pick // the choice, where a device has made it; nil: the unit chooses from the view
	from []int
	done bool
	err  error
}

func (t *turn) take(e *kernel.Engine) {
	switch {
	case t.pick != nil:
		t.done, t.err = t.unit.text.(*sequence).take(*t.pick)
	case !finite(e, t.view):
		t.err = errNoToken
	case t.unit.text == nil:
		t.done = true
	default:
		t.from, t.done, t.err = t.unit.text.advance(t.view)
	}
}

// advance lets units choose, in parallel, and draws the consequences in order.
func (g *Generator) advance(turns []turn) {
	g.engine.Parallel(len(turns), func(i int) { turns[i].take(g.engine) })
	for _, t := range turns {
		u := t.unit
		if u.job.err != nil {
			continue
		}
		if t.err != nil {
			u.job.err = t.err
			g.fail([]*job{u.job})
			continue
		}
		if u.text != nil && u.job.request.OnToken != nil {
			for _, e := range u.text.events() {
				u.job.request.OnToken(e)
			}
		}
		if t.done {
			g.finish(u)
		} else if t.from != nil {
			g.reorder(u, t.from)
		}
	}
}

// reorder lets branch i continue what branch from[i] was.
func (g *Generator) reorder(u *unit, from []int) {
	next := make([]page.Table, len(from))
	for i, b := range from {
		next[i] = g.pool.Fork(&u.branches[b])
	}
	for i := range u.branches {
		g.pool.Release(&u.branches[i])
	}
	u.branches = next
}
