package device

// Rows moves rows: lookups, slices, patches and means over tokens.
type Rows interface {
	Gather(a GatherArgs)
	GatherBackward(a GatherBackwardArgs)
	CopyBlock(a CopyBlockArgs)
	Patchify(a PatchifyArgs)
	Unpatchify(a PatchifyArgs)
	MeanPool(a MeanPoolArgs)
	MeanPoolBackward(a MeanPoolBackwardArgs)
	Grid(a GridArgs)
	GridBackward(a GridBackwardArgs)
}

// GatherArgs copies row Index[i] of the TableRows x Cols Table, of integers or floats, to row i of Y, whose rows are LDY apart (0: Cols); a negative
// index gives zeros. Table and Y may be of two float types, as a table of embeddings and activations are.
type GatherArgs struct {
	TableRows, Cols int
	Table, Index, Y *Value
	LDY             int
}

// GatherBackwardArgs accumulates row i of DY into row Index[i] of DTable, in the order of i. The two may be of two float types.
type GatherBackwardArgs struct {
	TableRows, Cols   int
	DTable, Index, DY *Value
	LDDY              int
}

// CopyBlockArgs writes (integers or floats) or accumulates (floats) Rows x Cols elements of X from element OffsetX on, rows LDX apart, to Y
// likewise. An LD of 0 means Cols. X and Y may be of two float types.
type CopyBlockArgs struct {
	Rows, Cols       int
	X, Y             *Value
	OffsetX, OffsetY int
	LDX, LDY         int
	Accumulate       bool
}

// PatchifyArgs relates Images, which may be float32 where activations are not, (B, Channels, Height, Width) and Patches (B, Height/Patch Width/Patch, Channels Patch Patch); a patch's columns run
// channel by channel, each row by row.
type PatchifyArgs struct {
	B, Channels, Height, Width, Patch int
	Images, Patches                   *Value
}

// MeanPoolArgs is y[b] = mean of the first Lengths[b] tokens of x (B,T,C). Lengths nil means T; a length of 0 gives zeros.
type MeanPoolArgs struct {
	B, T, C       int
	Lengths, X, Y *Value
}

// MeanPoolBackwardArgs is the gradient of MeanPool.
type MeanPoolBackwardArgs struct {
	B, T, C         int
	Lengths, DY, DX *Value
	Accumulate      bool
}

// GridArgs is y[i] = the vector at (Down[i], Across[i]) of a Side x Side table of vectors of Cols elements that is resized bicubically to Heights[i]
// x Widths[i], as PyTorch's interpolate does (a = -0.75, corners not aligned). The four are int32 vectors of one length; sizes are positive.
type GridArgs struct {
	Side, Cols                    int
	Down, Across, Heights, Widths *Value
	Table, Y                      *Value
}

// GridBackwardArgs accumulates the gradient of the table.
type GridBackwardArgs struct {
	Side, Cols                    int
	Down, Across, Heights, Widths *Value
	DTable, DY                    *Value
}
