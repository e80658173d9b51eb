package kernel

// inTile tells whether the residual is added by the tiles, before C is stored: nothing stands between it and the bias.
func (p *Epilogue) inTile() bool {
	return p.Residual != nil && p.Pre == nil && p.Activation == Identity
}

// target is what the tiles write: the pre-activation if it is kept, else C. With Accumulate it is C, whose old value they need.
func (a *GemmArgs) target() (out []float32, ld int) {
	if a.Epilogue.Pre != nil && !a.Accumulate {
		return a.Epilogue.Pre, a.Epilogue.LDPre
	}
	return a.C, a.LDC
}

// epilogue does what the tiles have not done: keeps the pre-activation, activates or gates, adds the residual.
func (e *Engine) epilogue(a *GemmArgs, s area) {
	p := &a.Epilogue
	if p.Gated {
		e.gate(a, s)
		return
	}
	if p.Pre == nil && p.Activation == Identity {
		return
	}
	rows, width := s.r1-s.r0, s.c1-s.c0
	if width == a.N && a.LDC == a.N && (p.Pre == nil || p.LDPre == a.N) && (p.Residual == nil || p.LDResidual == a.N) {
		rows, width = 1, rows*width // one run of memory
	}
	f := e.isa.activate[p.Activation]
	for r := range rows {
		i := s.r0 + r
		c := a.C[i*a.LDC+s.c0:][:width]
		src := c
		if p.Pre != nil {
			src = p.Pre[i*p.LDPre+s.c0:][:width]
			if a.Accumulate {
				copy(src, c)
			}
		}
		f(c, src)
		if p.Residual != nil {
			e.isa.add(c, c, p.Residual[i*p.LDResidual+s.c0:][:width])
		}
	}
}

// gate is the epilogue of a gated product.
func (e *Engine) gate(a *GemmArgs, s area) {
	p := &a.Epilogue
	width := s.c1 - s.c0
	for r := s.r0; r < s.r1; r++ {
		c, pre := a.C[r*a.LDC+s.c0:][:width], p.Pre[r*p.LDPre+s.c0:]
		e.isa.swiglu(c, pre[:width], pre[a.columns():][:width])
		if p.Residual != nil {
			e.isa.add(c, c, p.Residual[r*p.LDResidual+s.c0:][:width])
		}
	}
}

// emptyProduct is a product over no k.
func (e *Engine) emptyProduct(a *GemmArgs, s area) {
	out, ld := a.target()
	for i := range (s.r1 - s.r0) * a.halves() {
		r, col := s.r0+i/a.halves(), i%a.halves()*a.columns()+s.c0
		c := out[r*ld+col:][:s.c1-s.c0]
		if !a.Accumulate {
			clear(c)
		}
		if a.Epilogue.Bias != nil {
			e.isa.add(c, c, a.Epilogue.Bias[col:][:len(c)])
		}
		if a.Epilogue.inTile() {
			e.isa.add(c, c, a.Epilogue.Residual[r*a.Epilogue.LDResidual+s.c0:][:len(c)])
		}
	}
	e.epilogue(a, s)
}
