package checkpoint

import "fmt"

// DType is the element type of a tensor, as safetensors spells it.
type DType string

// The element types whose values are read. F32, I32 and U8 are written from
// slices of their own; F16 and BF16 from float32.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// sizes holds the bytes per element of every type that a file may contain. Those
// of less than a byte are not among them.
var sizes = map[DType]int64{
	Bool: 1, U8: 1, I8: 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1,
	I16: 2, "U16": 2, F16: 2, BF16: 2,
	I32: 4, "U32": 4, F32: 4,
	I64: 8, "U64": 8, F64: 8, "C64": 8,
}

// Size is the bytes of one element; 0 for a type that is unknown.
func (d DType) Size() int64 { return sizes[d] }

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType DType
	Shape []int
	begin int64 // offsets into the data section
	end   int64
}

// Bytes returns the size of the tensor's data.
func (i Info) Bytes() int64 { return i.end - i.begin }

// Len returns the number of elements.
func (i Info) Len() int { return int(i.Bytes() / sizes[i.DType]) }

func (i Info) String() string { return fmt.Sprintf("%s %v", i.DType, i.Shape) }
