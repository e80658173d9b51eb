package generate

import (
	"context"
	"slices"

	"tempera/serving/page"
)

// schedule is which units wait and which run, each in their order.
type schedule struct {
	waiting, running []*unit
	steps, preempted int // ever
}

func (g *Generator) busy() bool { return len(g.waiting)+len(g.running) > 0 }

func insert(list []*unit, u *unit) []*unit {
	at, _ := slices.BinarySearchFunc(list, u, (*unit).before)
	return slices.Insert(list, at, u)
}

func remove(list []*unit, u *unit) []*unit {
	at := slices.Index(list, u)
	return slices.Delete(list, at, at+1)
}

func (g *Generator) submit(j *job) {
	for _, u := range j.units {
		g.waiting = insert(g.waiting, u)
	}
}

// dropCancelled ends the jobs whose caller gave up.
func (g *Generator) dropCancelled() {
	var gone []*job
	units := slices.Clone(g.running)
	if g.cancelled.Swap(false) {
		units = append(units, g.waiting...)
	}
	for _, u := range units {
		if u.job.ctx.Err() != nil && !slices.Contains(gone, u.job) {
			gone = append(gone, u.job)
		}
	}
	for _, j := range gone {
		g.fail(j, context.Cause(j.ctx))
	}
}

// fail ends a job with an error.
func (g *Generator) fail(j *job, err error) {
	for _, u := range j.units {
		if u.running {
			g.stop(u)
			g.running = remove(g.running, u)
		} else if at := slices.Index(g.waiting, u); at >= 0 {
			g.waiting = slices.Delete(g.waiting, at, at+1)
		}
	}
	j.err = err
	j.failed(err)
	close(j.done)
}

// stop takes a unit's pages away, and the prompt's if no other unit of the job runs.
func (g *Generator) stop(u *unit) {
	for i := range u.branches {
		g.cache.Pool.Release(&u.branches[i])
	}
	u.branches, u.forked, u.running = nil, false, false
	if !slices.ContainsFunc(u.job.units, func(v *unit) bool { return v.running }) {
		u.job.prompt.release(g.cache.Pool)
		g.cache.Pool.Release(&u.job.prompt.seen)
	}
}

func (p *prompt) release(pool *page.Pool) {
	pool.Release(&p.table)
	p.logits, p.logProbs = nil, nil
}

// preempt makes a unit wait: what it has written is computed again when there is room.
func (g *Generator) preempt(u *unit) {
	g.preempted++
	g.running = remove(g.running, u)
	g.stop(u)
	g.waiting = insert(g.waiting, u)
}

// finish ends a unit.
func (g *Generator) finish(u *unit) {
	g.running = remove(g.running, u)
	g.stop(u)
	if u.job.left--; u.job.left == 0 {
		close(u.job.done)
	}
}

// admit lets waiting units run, in their order, while rows and pages are free. Pages that running units will take soon are not free; a unit that is
// alone always fits.
func (g *Generator) admit() {
	rows, promised := 0, 0
	resident := map[*job]bool{}
	for _, u := range g.running {
		rows += u.width()
		promised += g.demand(u, resident)
	}
	for len(g.waiting) > 0 {
		u := g.waiting[0]
		need := g.demand(u, resident)
		if rows+u.width() > g.options.Rows || len(g.running) > 0 && promised+need > g.cache.Pool.Free() {
			return
		}
		g.waiting = g.waiting[1:]
		u.running = true
		g.running = insert(g.running, u)
		rows, promised = rows+u.width(), promised+need
	}
}

// demand is the number of pages that a unit takes before it writes its next token. Counted holds the jobs whose prompt's pages were counted.
func (g *Generator) demand(u *unit, counted map[*job]bool) int {
	if u.forked {
		return 0
	}
	p, pool := &u.job.prompt, g.cache.Pool
	n := 0
	if !counted[u.job] {
		counted[u.job] = true
		n += pool.For(len(p.ids)) - len(p.table.Pages) + pool.For(g.imageTokens) - len(p.seen.Pages)
	}
	if u.text == nil {
		return n
	}
	for b := range u.text.width() {
		n += pool.For(len(p.ids)+len(u.text.tokens(b))+1) - len(p.ids)/pool.Size()
	}
	return n
}

// reserve makes room for n tokens of a table of unit u, at the cost of the last units that run. It reports false if that was u itself.
func (g *Generator) reserve(u *unit, t *page.Table, n int) bool {
	for !g.cache.Reserve(t, n) {
		victim := g.running[len(g.running)-1]
		g.preempt(victim)
		if victim == u {
			return false
		}
	}
	return true
}

// fork gives the unit the prompt's tokens, and frees the prompt when no unit of the job needs it any more.
func (g *Generator) fork(u *unit) {
	p := &u.job.prompt
	for range u.text.width() {
		u.branches = append(u.branches, g.cache.Pool.Fork(&p.table))
	}
	u.forked = true
}

// settle frees the prompts that no unit needs any more.
func (g *Generator) settle() {
	for i, u := range g.running {
		if i > 0 && g.running[i-1].job == u.job {
			continue
		}
		needed := slices.ContainsFunc(u.job.units, func(v *unit) bool {
			_, waits := slices.BinarySearchFunc(g.waiting, v, (*unit).before)
			return v.running && !v.forked || waits
		})
		if !needed {
			u.job.prompt.release(g.cache.Pool)
		}
	}
}
