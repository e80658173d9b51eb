package kernel

// View is a (batch, token, head, width) tensor inside a larger one: element (b,t,h,i) is Data[b Batch + t Token + h Head + i]. One view each of
// a packed (B,T,3,H,D) projection gives q, k and v; a separate (B,T,H,D) projection is TightView.
type View struct {
	Data               []float32
	Batch, Token, Head int // strides in elements
}

// TightView views a (B,T,H,D) tensor.
func TightView(data []float32, t, h, d int) View {
	return View{Data: data, Batch: t * h * d, Token: h * d, Head: d}
}

// PackedView views part i of a (B,T,parts,H,D) tensor: the i-th of the projections computed by one product.
func PackedView(data []float32, s PackedShape, i int) View {
	c := s.H * s.D
	v := View{Batch: s.T * s.Parts * c, Token: s.Parts * c, Head: s.D}
	if len(data) > 0 {
		v.Data = data[i*c:]
	}
	return v
}

// PackedShape is the shape of a projection's output that holds several tensors side by side.
type PackedShape struct{ T, Parts, H, D int }

// token is the memory of all h heads of a token.
func (v View) token(b, t, h, d int) []float32 {
	o := b*v.Batch + t*v.Token
	return v.Data[o : o+(h-1)*v.Head+d]
}

func (v View) need(method, field string, b, t, h, d int) {
	if b*t*h*d > 0 {
		need(method, field, v.Data, (b-1)*v.Batch+(t-1)*v.Token+(h-1)*v.Head+d)
	}
}
