package generate

import (
	"context"
	"slices"

	"tempera/serving/page"
)

// schedule is which units wait and which run, each in their order.
type schedule struct {
	waiting, running []*unit
	preempted        int // units, ever
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
	j.waiting = len(j.units)
}

// dropCancelled ends the jobs whose caller gave up.
func (g *Generator) dropCancelled() {
	units := slices.Clone(g.running)
	if g.cancelled.Swap(false) {
		units = append(units, g.waiting...)
	}
	var gone []*job
	for _, u := range units {
		if j := u.job; j.err == nil && j.ctx.Err() != nil {
			j.err = context.Cause(j.ctx)
			gone = append(gone, j)
		}
	}
	g.fail(gone)
}

// fail ends jobs, which have their errors.
func (g *Generator) fail(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	over := func(u *unit) bool { return u.job.err != nil }
	for _, u := range g.running {
		if over(u) {
			g.stop(u)
		}
	}
	g.running, g.waiting = slices.DeleteFunc(g.running, over), slices.DeleteFunc(g.waiting, over)
	for _, j := range jobs {
		j.failed(j.err)
		close(j.done)
	}
}

// stop takes a unit's pages away, and the prompt's if no other unit of the job runs.
func (g *Generator) stop(u *unit) {
	j := u.job
	for i := range u.branches {
		g.pool.Release(&u.branches[i])
	}
	j.running--
	if !u.forked {
		j.unforked--
	}
	u.branches, u.forked = nil, false
	if j.running == 0 {
		j.prompt.release(g.pool)
		g.pool.Release(&j.prompt.seen)
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
	u.job.waiting++
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
		if rows+u.width() > g.options.Rows || len(g.running) > 0 && promised+need > g.pool.Free() {
			return
		}
		g.waiting = g.waiting[1:]
		u.job.waiting--
		u.job.running++
		u.job.unforked++
		g.running = insert(g.running, u)
		rows, promised = rows+u.width(), promised+need
	}
}

// demand is the number of pages that a unit takes before it writes its next token. Counted holds the jobs whose prompt's pages were counted.
func (g *Generator) demand(u *unit, counted map[*job]bool) int {
	if u.forked {
		return 0
	}
	p, pool := &u.job.prompt, g.pool
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

// fork gives the unit the prompt's tokens.
func (g *Generator) fork(u *unit) {
	for range u.text.width() {
		u.branches = append(u.branches, g.pool.Fork(&u.job.prompt.table))
	}
	u.forked = true
	u.job.unforked--
}

// settle frees the prompts that every unit of their job has taken over.
func (g *Generator) settle() {
	for _, u := range g.running {
		if j := u.job; j.unforked == 0 && j.waiting == 0 {
			j.prompt.release(g.pool)
		}
	}
}
