package device

import (
	"fmt"
	"sync"
	"unsafe"
)

// Heap is the memory of a CPU backend. The Go heap is the ordinary one; another may hand out handles that
// nothing but the backend can turn into elements, which proves in tests that no caller reads memory directly.
type Heap interface {
	// Alloc returns zeroed memory aligned to a cache line.
	Alloc(words int) (Buffer, error)
	Free(b Buffer) error
	// Words is the memory of a buffer of this heap.
	Words(b Buffer) []float32
}

const cacheLineWords = 16

func alignedWords(n int) []float32 {
	raw := make([]float32, n+cacheLineWords)
	skip := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % (cacheLineWords * WordBytes); r != 0 {
		skip = int((cacheLineWords*WordBytes - r) / WordBytes)
	}
	return raw[skip : skip+n : skip+n]
}

type hostBuffer struct{ words []float32 }

func (b *hostBuffer) Words() int       { return len(b.words) }
func (b *hostBuffer) Address() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b.words))) }

type hostHeap struct{}

// HostHeap is the Go heap.
func HostHeap() Heap { return hostHeap{} }

func (hostHeap) Alloc(words int) (Buffer, error) { return &hostBuffer{alignedWords(words)}, nil }
func (hostHeap) Free(Buffer) error               { return nil }
func (hostHeap) Words(b Buffer) []float32        { return b.(*hostBuffer).words }

type handle struct {
	id    uintptr
	words int
}

func (h handle) Words() int       { return h.words }
func (h handle) Address() uintptr { return h.id }

// opaqueHeap keeps the memory in a table; a buffer is only a number in a range that no process maps.
type opaqueHeap struct {
	mu     sync.RWMutex
	next   uintptr
	memory map[uintptr][]float32
}

// OpaqueHeap is memory behind handles. Freed handles are forgotten: using one panics.
func OpaqueHeap() Heap {
	return &opaqueHeap{next: 1 << 60, memory: map[uintptr][]float32{}}
}

func (h *opaqueHeap) Alloc(words int) (Buffer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := &handle{h.next, words}
	h.memory[b.id] = alignedWords(words)
	h.next += uintptr(words+cacheLineWords) * WordBytes
	return b, nil
}

func (h *opaqueHeap) Free(b Buffer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := b.Address()
	if _, ok := h.memory[id]; !ok {
		return fmt.Errorf("free buffer %#x: no such buffer", id)
	}
	delete(h.memory, id)
	return nil
}

func (h *opaqueHeap) Words(b Buffer) []float32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	m, ok := h.memory[b.Address()]
	if !ok {
		panic(fmt.Sprintf("device: buffer %#x is freed or of another heap", b.Address()))
	}
	return m
}
