package device

import "tempera/training/kernel"

func (c *CPU) headInput(a HeadInput) kernel.HeadInput {
	return kernel.HeadInput{
		Rows: a.Rows, Width: a.Width, Classes: a.Classes, X: c.f(a.X), W: c.f(a.W), Bias: c.f(a.Bias), TransW: a.TransW,
		Targets: c.i(a.Targets), Logits: c.f(a.Logits),
	}
}

func (c *CPU) headGradients(a HeadGradients) kernel.HeadGradients {
	return kernel.HeadGradients{DX: c.f(a.DX), DW: c.f(a.DW), DBias: c.f(a.DBias), Accumulate: a.Accumulate}
}

func (c *CPU) headCrossEntropy(a HeadCrossEntropyArgs) kernel.HeadCrossEntropyArgs {
	return kernel.HeadCrossEntropyArgs{HeadInput: c.headInput(a.HeadInput), Smoothing: a.Smoothing, Loss: c.f(a.RowLoss), LogSumExp: c.f(a.LogSumExp)}
}

// HeadCrossEntropy is part of Head.
func (c *CPU) HeadCrossEntropy(a HeadCrossEntropyArgs) {
	mean, _ := c.engine.HeadCrossEntropy(c.headCrossEntropy(a))
	c.f(a.Mean)[0] = float32(mean)
}

// HeadCrossEntropyBackward is part of Head.
func (c *CPU) HeadCrossEntropyBackward(a HeadCrossEntropyBackwardArgs) {
	c.engine.HeadCrossEntropyBackward(kernel.HeadCrossEntropyBackwardArgs{
		Forward: c.headCrossEntropy(a.Forward), Scale: c.f(a.DMean)[0], HeadGradients: c.headGradients(a.HeadGradients),
	})
}

func (c *CPU) headLogProbs(a HeadLogProbsArgs) kernel.HeadLogProbsArgs {
	return kernel.HeadLogProbsArgs{HeadInput: c.headInput(a.HeadInput), Temperature: a.Temperature, Y: c.f(a.Y), LogSumExp: c.f(a.LogSumExp)}
}

// HeadLogProbs is part of Head.
func (c *CPU) HeadLogProbs(a HeadLogProbsArgs) { c.engine.HeadLogProbs(c.headLogProbs(a)) }

// HeadLogProbsBackward is part of Head.
func (c *CPU) HeadLogProbsBackward(a HeadLogProbsBackwardArgs) {
	c.engine.HeadLogProbsBackward(kernel.HeadLogProbsBackwardArgs{
		Forward: c.headLogProbs(a.Forward), DY: c.f(a.DY), HeadGradients: c.headGradients(a.HeadGradients),
	})
}

func (c *CPU) headDivergence(a HeadDivergenceArgs) kernel.HeadDivergenceArgs {
	return kernel.HeadDivergenceArgs{Student: c.headInput(a.Student), Teacher: c.headInput(a.Teacher), Temperature: a.Temperature, Loss: c.f(a.RowLoss)}
}

// HeadDivergence is part of Head.
func (c *CPU) HeadDivergence(a HeadDivergenceArgs) {
	mean, _ := c.engine.HeadDivergence(c.headDivergence(a))
	c.f(a.Mean)[0] = float32(mean)
}

// HeadDivergenceBackward is part of Head.
func (c *CPU) HeadDivergenceBackward(a HeadDivergenceBackwardArgs) {
	c.engine.HeadDivergenceBackward(kernel.HeadDivergenceBackwardArgs{
		Forward: c.headDivergence(a.Forward), Scale: c.f(a.DMean)[0], HeadGradients: c.headGradients(a.HeadGradients),
	})
}
