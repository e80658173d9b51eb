//go:build gpu

package cuda

import (
	"fmt"
	"runtime"
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	"tempera/training/kernel"
)

// ropeTable is rotations in the device's memory: cosines, then sines, of (tokens, width / 2).
type ropeTable struct {
	p                    driver.Pointer
	tokens, width, parts int
}

func (t *ropeTable) Tokens() int { return t.tokens }

func (t *ropeTable) sines() driver.Pointer {
	return t.p + driver.Pointer(t.tokens*t.width/2*device.WordBytes)
}

// ropeTables are the tables that are in use. One goes when the collector finds that nobody has it, the rest with the backend.
type ropeTables struct {
	mu     sync.Mutex
	live   map[driver.Pointer]bool
	closed bool
}

// NewRoPETable is part of device.Attention.
func (b *Backend) NewRoPETable(s device.RoPESpec) (device.RoPETable, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	t := &ropeTable{tokens: len(s.Rows), width: s.Width, parts: 1}
	if s.Cols != nil {
		t.parts = 2
	}
	cos, sin := kernel.NewRoPETable(s).Rotations()
	var err error
	if t.p, err = b.device.Alloc(2 * len(cos) * device.WordBytes); err != nil {
		return nil, fmt.Errorf("table of rotations: %w", err)
	}
	b.tables.keep(t.p)
	runtime.AddCleanup(t, b.dropTable, t.p)
	if err := b.staging.upload(t.p, bytesOf(cos)); err != nil {
		return nil, err
	}
	return t, b.staging.upload(t.sines(), bytesOf(sin))
}

func (s *ropeTables) keep(p driver.Pointer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		s.live = map[driver.Pointer]bool{}
	}
	s.live[p] = true
}

func (b *Backend) dropTable(p driver.Pointer) {
	s := &b.tables
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	delete(s.live, p)
	b.fail(b.device.Free(p))
}

func (s *ropeTables) close(d *driver.Device) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var first error
	for p := range s.live {
		if err := d.Free(p); first == nil {
			first = err
		}
	}
	return first
}

// RoPE is part of device.Attention.
func (b *Backend) RoPE(a device.RoPEArgs) {
	table := a.Table.(*ropeTable)
	if table.width != a.D || a.Index == nil && table.tokens < a.T {
		panic(fmt.Sprintf("cuda: RoPE of %d tokens and heads of width %d by a table of %d and %d", a.T, a.D, table.tokens, table.width))
	}
	need("RoPE: indices", a.Index, a.B*a.T)
	if a.B*a.T*a.H*a.D == 0 {
		return
	}
	turn := float32(1)
	if a.Inverse {
		turn = -1
	}
	t, shape, rows := activations(a.X.Value, a.Y.Value), window{a.B, a.T, a.H, a.D}, a.B*a.T
	across := min(threads, ceil(a.H*a.D/2*t.Bytes(), 16)) // threads that share a row, 16 bytes each
	down := threads / across
	b.kernel("rope", "rope", t).heads(a.X, shape, t).heads(a.Y, shape, t).pointer(table.p).pointer(table.sines()).ints(a.Index).
		i64(rows).i32(a.T).i32(a.H).i32(a.D).i32(table.parts).f32(turn).
		launch(driver.Grid{X: min(ceil(rows, down), 32*b.device.Processors), ThreadsX: across, ThreadsY: down})
	runtime.KeepAlive(table)
}
