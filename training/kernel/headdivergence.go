package kernel

import "math"

// HeadDivergenceArgs compares two heads of one vocabulary row by row: KL(q || p), with q = softmax(teacher's logits / Temperature) and p that of the
// student. Rows whose target, the student's, is IgnoreIndex do not count. Both Logits hold as many rows. Loss receives a number per row.
type HeadDivergenceArgs struct {
	Student, Teacher HeadInput // the teacher has no Targets
	Temperature      float32
	Loss             []float32
}

func (a *HeadDivergenceArgs) check(name string) (counted int) {
	s, t := &a.Student, &a.Teacher
	t.checkProduct(name)
	require(s.Rows == t.Rows && s.Classes == t.Classes, "%s: the heads have %dx%d and %dx%d logits", name, s.Rows, s.Classes, t.Rows, t.Classes)
	require(len(t.Logits) >= len(s.Logits), "%s: the teacher's Logits hold fewer rows", name)
	require(a.Temperature > 0, "%s.Temperature is %v, must be positive", name, a.Temperature)
	return s.check(name)
}

// rows visits every row that counts with the logits of both over the temperature, less their largest, and scratch p and q; skip those that do not.
func (a *HeadDivergenceArgs) rows(e *Engine, visit func(r int, x, y, p, q []float32), skip func(r int, x []float32)) func(lo, hi int, logits []float32) {
	v, inv := a.Student.Classes, 1/a.Temperature
	return func(lo, hi int, logits []float32) {
		teacher := a.Teacher.product(e, lo, hi)
		e.rows(hi-lo, 2*v, func(r0, r1 int) {
			l := e.lease()
			defer e.release(l)
			p, q := l.buf(buf0, v), l.buf(buf1, v)
			for r := r0; r < r1; r++ {
				x, y := row(logits, r, v, v), row(teacher, r, v, v)
				if a.Student.Targets[lo+r] == IgnoreIndex {
					skip(lo+r, x)
					continue
				}
				e.isa.affine(x, x, inv, -e.isa.max(x)*inv)
				e.isa.affine(y, y, inv, -e.isa.max(y)*inv)
				visit(lo+r, x, y, p, q)
			}
		})
	}
}

// HeadDivergence writes the rows' divergences and returns their mean over the rows that count.
func (e *Engine) HeadDivergence(a HeadDivergenceArgs) (mean float64, counted int) {
	const name = "HeadDivergence"
	counted = a.check(name)
	need(name, "Loss", a.Loss, a.Student.Rows)
	a.Student.blocks(e, a.rows(e, func(r int, x, y, p, q []float32) {
		sumP, sumQ := e.isa.expSum(p, x, 1, 0), e.isa.expSum(q, y, 1, 0)
		e.isa.axpy(y, x, -1)
		a.Loss[r] = e.isa.dot(q, y)/sumQ + float32(math.Log(float64(sumP)/float64(sumQ)))
	}, func(r int, _ []float32) { a.Loss[r] = 0 }))
	return meanLoss(a.Loss[:a.Student.Rows], counted), counted
}

// HeadDivergenceBackwardArgs takes the forward's arguments; Loss is not read. The gradients are those of the mean times Scale: of a row's
// logits (p - q) / Temperature. The teacher has none.
type HeadDivergenceBackwardArgs struct {
	Forward HeadDivergenceArgs
	Scale   float32
	HeadGradients
}

// HeadDivergenceBackward computes the logits of both again, block by block; each block adds to DW and DBias in turn.
func (e *Engine) HeadDivergenceBackward(b HeadDivergenceBackwardArgs) {
	a := &b.Forward
	g := b.Scale / float32(max(1, a.check("HeadDivergenceBackward"))) / a.Temperature
	gradient := a.rows(e, func(_ int, x, y, p, q []float32) {
		sumP, sumQ := e.isa.expSum(p, x, 1, 0), e.isa.expSum(q, y, 1, 0)
		e.isa.scale(x, p, g/sumP)
		e.isa.axpy(x, q, -g/sumQ)
	}, func(_ int, x []float32) { clear(x) })
	a.Student.blocks(e, func(lo, hi int, logits []float32) {
		gradient(lo, hi, logits)
		b.add(e, &a.Student, lo, hi, logits)
	})
}
