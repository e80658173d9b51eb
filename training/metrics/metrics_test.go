package metrics

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFileIsContinuedFromAStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	write := func(from int64, steps ...int64) {
		j, err := OpenJSONL(path, from)
		require.NoError(t, err)
		for _, s := range steps {
			require.NoError(t, j.Write(s, map[string]float64{"loss": float64(s) / 2, "a": 1}))
		}
		require.NoError(t, j.Close())
	}
	write(0, 0, 10, 20)
	write(20, 20)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"a":1,"lo`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	write(21, 30)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"loss":0,"step":0}
{"a":1,"loss":5,"step":10}
{"a":1,"loss":10,"step":20}
{"a":1,"loss":15,"step":30}
`, string(raw))
}

func TestValuesThatAreNotNumbersAreRefused(t *testing.T) {
	j, err := OpenJSONL(filepath.Join(t.TempDir(), "m"), 0)
	require.NoError(t, err)
	require.Error(t, j.Write(1, map[string]float64{"loss": math.NaN()}))
	require.NoError(t, j.Close())
}

// The expected bytes are written out by hand from the definitions of the messages.
func TestEventsHaveTheBytesOfTheFormat(t *testing.T) {
	var b bytes.Buffer
	e, err := NewEvents(&b, func() time.Time { return time.Unix(1, 500_000_000) })
	require.NoError(t, err)
	require.NoError(t, e.Write(300, map[string]float64{"loss": 0.5}))

	head := take(t, &b)
	require.Equal(t, "09000000000000f83f"+"1a0d"+hex.EncodeToString([]byte("brain.Event:2")), hex.EncodeToString(head))
	step := take(t, &b)
	require.Equal(t, "09000000000000f83f"+"10ac02"+"2a0d"+"0a0b"+"0a04"+hex.EncodeToString([]byte("loss"))+"150000003f", hex.EncodeToString(step))
	require.Zero(t, b.Len())
}

// take reads a record with an independent checksum.
func take(t *testing.T, b *bytes.Buffer) []byte {
	t.Helper()
	head := b.Next(12)
	require.Equal(t, masked(head[:8]), binary.LittleEndian.Uint32(head[8:]))
	data := bytes.Clone(b.Next(int(binary.LittleEndian.Uint64(head))))
	require.Equal(t, masked(data), binary.LittleEndian.Uint32(b.Next(4)))
	return data
}

// masked computes the checksum bit by bit.
func masked(data []byte) uint32 {
	c := ^uint32(0)
	for _, x := range data {
		c ^= uint32(x)
		for range 8 {
			c = c>>1 ^ 0x82f63b78&-(c&1)
		}
	}
	c = ^c
	return (c>>15 | c<<17) + 0xa282ead8
}

type failing struct{ calls *int }

func (f failing) Write(int64, map[string]float64) error {
	*f.calls++
	return errors.New("no")
}

func TestManyWritersAreAllWritten(t *testing.T) {
	calls := 0
	require.Error(t, Many{failing{&calls}, failing{&calls}}.Write(1, nil))
	require.Equal(t, 2, calls)
}
