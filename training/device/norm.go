package device

// Norm normalises the rows of matrices.
type Norm interface {
	LayerNorm(a LayerNormArgs)
	LayerNormBackward(a LayerNormBackwardArgs)
	RMSNorm(a RMSNormArgs)
	RMSNormBackward(a RMSNormBackwardArgs)
	L2Normalize(a L2NormalizeArgs)
	L2NormalizeBackward(a L2NormalizeBackwardArgs)
}

// LayerNormArgs is y = (x - mean) rstd w + b over rows, rstd = 1/sqrt(variance + Eps) (Ba et al. 2016). Mean and RStd (Rows) are saved. B may be nil.
type LayerNormArgs struct {
	Rows, Cols int
	X, W, B, Y *Value
	Mean, RStd *Value
	Eps        float32
}

// LayerNormBackwardArgs writes DX, or accumulates it; DW and DB always accumulate. Each may be nil.
type LayerNormBackwardArgs struct {
	Rows, Cols       int
	X, W, Mean, RStd *Value
	DY, DX, DW, DB   *Value
	Accumulate       bool
}

// RMSNormArgs is y = x rstd w over rows, rstd = 1/sqrt(mean(x²) + Eps) (Zhang and Sennrich 2019). RStd (Rows) is saved.
type RMSNormArgs struct {
	Rows, Cols int
	X, W, Y    *Value
	RStd       *Value
	Eps        float32
}

// RMSNormBackwardArgs is as LayerNormBackwardArgs.
type RMSNormBackwardArgs struct {
	Rows, Cols int
	X, W, RStd *Value
	DY, DX, DW *Value
	Accumulate bool
}

// L2NormalizeArgs is y = x / max(|x|, Eps) over rows. Inv (Rows) receives 1/max(|x|, Eps).
type L2NormalizeArgs struct {
	Rows, Cols int
	X, Y, Inv  *Value
	Eps        float32
}

// L2NormalizeBackwardArgs takes the forward's Y and Inv.
type L2NormalizeBackwardArgs struct {
	Rows, Cols     int
	Y, Inv, DY, DX *Value
	Eps            float32
	Accumulate     bool
}
