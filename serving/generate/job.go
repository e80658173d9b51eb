package generate

import (
	"context"

	"tempera/serving/page"
)

// job is a request in work. It is done when all its units are.
type job struct {
	ctx     context.Context
	request Request
	order   int // of arrival
	prompt  prompt
	units   []*unit
	left    int // units that are not done
	err     error
	failed  func(error) // tells the call
	done    chan struct{}

	waiting, running, unforked int // units; the last run and have yet to take over the prompt
}

// prompt is what the texts of a job begin with, and its keys and values while a text that runs has yet to take them over.
type prompt struct {
	ids         []int32   // negative: the next row of embeddings
	embeddings  []float32 // (n, C)
	image       []float32 // states
	table, seen page.Table
	logits      []float32 // after the last token, once it has passed, and
	logProbs    []float32 // their log-probabilities
	tokenScores []float32 // log-probability of each token, where the request asks for it
	temperature float64   // of those
	scoreWanted bool
}

// unit is what is admitted, preempted and finished as one: a text, or the beams of a search. A unit without a text only scores the prompt.
type unit struct {
	job      *job
	index    int // of the sample
	text     text
	branches []page.Table // the prompt's tokens and those of the text that have passed, once forked
	forked   bool
}

// text is a text in the making, or several by beams. It takes the logits of the next token and chooses.
type text interface {
	// width is the number of branches.
	width() int
	// tokens are what a branch has generated.
	tokens(branch int) []int32
	// advance chooses by one row per branch, or by one for all while they hold the prompt alone. from, if not nil, names for each branch the one
	// that it continues; done ends the text.
	advance(v view) (from []int, done bool, err error)
	// events are what came since the last call.
	events() []Event
	// results are the finished texts, the best first.
	results() []Text
}

// view is rows of logits and their log-probabilities, a vocabulary wide each.
type view struct {
	logits, logProbs []float32
	vocab            int
}

// rows are n rows from row i on.
func (v view) rows(i, n int) view {
	return view{v.logits[i*v.vocab : (i+n)*v.vocab], v.logProbs[i*v.vocab : (i+n)*v.vocab], v.vocab}
}

// newJob takes a valid request.
func (g *Generator) newJob(r Request) *job {
	j := &job{request: r}
	j.prompt = g.newPrompt(r.Prompt, r.Image)
	j.prompt.scoreWanted = r.PromptLogProbs
	n := max(1, r.Samples)
	if r.Search.Beams > 1 {
		n = 1
	}
	l := g.newLimits(&j.request, len(j.prompt.ids))
	for i := range n {
		j.units = append(j.units, &unit{job: j, index: i, text: g.newText(&j.request, l, i, j.prompt.ids)})
	}
	j.left = n
	return j
}

func (g *Generator) newPrompt(parts []Part, image []float32) prompt {
	p := prompt{image: image, temperature: 1}
	for _, part := range parts {
		p.ids = append(p.ids, part.Tokens...)
		for range len(part.Embeddings) / g.config.Text.Width {
			p.ids = append(p.ids, -1)
		}
		p.embeddings = append(p.embeddings, part.Embeddings...)
	}
	if len(p.ids) == 0 {
		p.ids = []int32{g.config.Text.Special.BOS}
	}
	return p
}

// rows are the embeddings of the tokens [from, to), for a decoder of some width.
func (p *prompt) rows(from, to, width int) []float32 {
	count := func(ids []int32) (n int) {
		for _, id := range ids {
			if id < 0 {
				n++
			}
		}
		return n
	}
	lo := count(p.ids[:from])
	return p.embeddings[lo*width : (lo+count(p.ids[from:to]))*width]
}

func (j *job) result() Result {
	r := Result{PromptLogProbs: j.prompt.tokenScores}
	for _, u := range j.units {
		if u.text != nil {
			r.Texts = append(r.Texts, u.text.results()...)
		}
	}
	return r
}

// width is the number of texts that the unit counts for.
func (u *unit) width() int {
	if u.text == nil {
		return 1
	}
	return u.text.width()
}

// before orders units by the arrival of their job, then by sample.
func (u *unit) before(v *unit) int {
	if u.job != v.job {
		return u.job.order - v.job.order
	}
	return u.index - v.index
}
