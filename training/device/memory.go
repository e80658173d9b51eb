package device

import "fmt"

// Memory allocates values and moves them. Kernels may run after the call that asked for them has returned, but
// in the order of the calls; Download and Sync wait for all earlier ones.
type Memory interface {
	// Name says which device this is, for logs and run records.
	Name() string
	// Alloc returns zeroed memory, aligned to at least 64 bytes.
	Alloc(words int) (Buffer, error)
	// Free gives a buffer back; no value over it may be used again.
	Free(b Buffer) error
	// UploadFloats and UploadInts copy all of src; its length must be the value's size.
	UploadFloats(dst *Value, src []float32) error
	UploadInts(dst *Value, src []int32) error
	// DownloadFloats and DownloadInts copy all of src.
	DownloadFloats(dst []float32, src *Value) error
	DownloadInts(dst []int32, src *Value) error
	// Zero clears values.
	Zero(vs ...*Value)
	// Copy copies src, of equal size.
	Copy(dst, src *Value)
	// Sync waits for all kernels and returns the first fault since the last Sync.
	Sync() error
}

// Rounding is a Memory whose backend stores activations and their gradients in another type than Float32.
type Rounding interface {
	Activations() DType
}

// ActivationsOf is the type in which a memory stores activations.
func ActivationsOf(m Memory) DType {
	if r, ok := m.(Rounding); ok {
		return r.Activations()
	}
	return Float32
}

// Separate is a Memory that is not the host's.
type Separate interface {
	// FreeBytes is what is left of it.
	FreeBytes() (int64, error)
}

// Leasing is a Memory whose kernels take memory of their own.
type Leasing interface {
	// Leased estimates what they are yet to take, in bytes, beside what is allocated now and so many for activations of graphs.
	Leased(activations int64) int64
}

// Cloning is a Memory that can copy values aside without leaving its device, for they leave it slowly.
type Cloning interface {
	// NewClone allocates memory for copies of float32 values.
	NewClone(live []*Value) (Clone, error)
}

// Clone is copies of values, on their device.
type Clone interface {
	// Take copies the values in the order of calls, and waits for nothing. It returns the first fault since the last Sync, as that will. It must not be
	// called while Download runs.
	Take() error
	// Download copies the i-th value, as Take found it, to the host while kernels go on. Any goroutine may call it.
	Download(dst []float32, i int) error
	// Restore makes the values what Take found, and waits for that.
	Restore() error
	// Free gives the memory back.
	Free() error
}

// Ahead is a Memory that takes arrays of the host before they are uploaded to values.
type Ahead interface {
	// NewParcel allocates memory of the device for arrays.
	NewParcel(bytes int) (Parcel, error)
}

// Parcel is arrays that are sent while kernels run. Uploading one of them, or a part of it, is a copy within the device then, which the caller cannot tell
// from another one, if it is slow. What is not sent is uploaded from the host as ever.
type Parcel interface {
	// Send replaces what the parcel holds, by as many of the arrays as there is room for, except small ones. They must not change until they are
	// forgotten. Any goroutine may call it, after Forget.
	Send(floats [][]float32, ints [][]int32) error
	// Forget lets later uploads read the host's memory again.
	Forget()
	// Free gives the memory back.
	Free() error
}

// Addressable is a Memory that the host can read in place.
type Addressable interface {
	// View is the memory of a float32 value. It must not be written.
	View(v *Value) []float32
}

// New allocates a zeroed value with memory of its own.
func New(m Memory, d Desc) (*Value, error) {
	b, err := m.Alloc(d.Words())
	if err != nil {
		return nil, fmt.Errorf("allocate %v on %s: %w", d, m.Name(), err)
	}
	return NewValue(d, b, 0), nil
}

// FromFloats allocates a float32 value that holds data.
func FromFloats(m Memory, data []float32, shape ...int) (*Value, error) {
	v, err := New(m, Floats(shape...))
	if err != nil {
		return nil, err
	}
	return v, m.UploadFloats(v, data)
}

// ReadFloats copies a float32 value to the host.
func ReadFloats(m Memory, v *Value) ([]float32, error) {
	out := make([]float32, v.Size())
	return out, m.DownloadFloats(out, v)
}

// ReadInts copies an int32 value to the host.
func ReadInts(m Memory, v *Value) ([]int32, error) {
	out := make([]int32, v.Size())
	return out, m.DownloadInts(out, v)
}

// Wide is a Memory whose elements are of more than four bytes: the host can have them unrounded.
type Wide interface {
	Read(v *Value) []float64
	Write(v *Value, data []float64)
}

// ReadWide copies all elements of a float32 value, unrounded where the memory is Wide.
func ReadWide(m Memory, dst []float64, src *Value) error {
	if w, ok := m.(Wide); ok {
		copy(dst, w.Read(src))
		return nil
	}
	x, err := ReadFloats(m, src)
	for i := range x {
		dst[i] = float64(x[i])
	}
	return err
}

// WriteWide sets all elements of a float32 value, unrounded where the memory is Wide.
func WriteWide(m Memory, dst *Value, src []float64) error {
	if w, ok := m.(Wide); ok {
		w.Write(dst, src)
		return nil
	}
	x := make([]float32, len(src))
	for i, v := range src {
		x[i] = float32(v)
	}
	return m.UploadFloats(dst, x)
}
