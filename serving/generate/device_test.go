//go:build gpu

package generate

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/network"
	"tempera/training/device/cuda"
	"tempera/training/device/cuda/driver"
)

// onDevice is a generator of the same weights on a GPU. Without one the test is skipped, or fails with REQUIRE_GPU.
func (f fixture) onDevice(t *testing.T, p cuda.Precision, o Options) *Generator {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	b, err := cuda.Open(cuda.Options{Precision: p})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	o.Device = b
	g := f.with(t, newEngine(t, 1), o)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g
}

// scored is a prompt of n tokens with its image.
func (f fixture) scored(n int) Scored {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*7 + 5) % 53)
	}
	return Scored{Text: f.prompt(ids...), Image: f.image(3)}
}

func TestADeviceGivesTheProbabilitiesOfTheCPU(t *testing.T) {
	for form := range forms() {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{})
			texts := []Scored{f.scored(5), f.scored(41)}
			want, err := f.Score(t.Context(), texts)
			require.NoError(t, err)
			for precision, tolerance := range map[cuda.Precision]float64{cuda.Full: 1e-3, cuda.Mixed: 0.5} {
				if form == "experts" && precision == cuda.Mixed {
					continue // rounding may change which experts answer
				}
				got, err := f.onDevice(t, precision, Options{Prefill: 16}).Score(t.Context(), texts)
				require.NoError(t, err)
				for i := range want {
					for k := range want[i] {
						require.InDelta(t, want[i][k], got[i][k], tolerance, "%s: text %d, token %d", precision, i, k)
					}
				}
			}
		})
	}
}

func TestADeviceWritesWhatTheCPUWrites(t *testing.T) {
	for _, form := range []string{"blip", "llama", "experts"} {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{})
			requests := f.requests(4) // greedy, nucleus with forks, largest few, beams
			for i := range requests {
				requests[i].MaxTokens = min(requests[i].MaxTokens, 6)
			}
			want := write(t, f.Generator, requests...)
			g := f.onDevice(t, cuda.Full, Options{})
			for range 2 { // Load gives the same weights again
				got := write(t, g, requests...)
				for i := range want {
					for k, text := range want[i].Texts {
						require.Equal(t, text.Tokens, got[i].Texts[k].Tokens, "request %d", i)
						require.Less(t, math.Abs(text.LogProb-got[i].Texts[k].LogProb), 1e-2)
					}
				}
				require.NoError(t, g.Load(t.Context(), f.weights.Get))
			}
		})
	}
}

func TestAFaultOfTheDeviceEndsTheRequests(t *testing.T) {
	f := newFixture(t, "llama", Options{})
	g := f.onDevice(t, cuda.Full, Options{})
	cache := g.cache
	g.cache = broken{cache}
	_, err := g.Generate(t.Context(), f.requests(3))
	require.ErrorIs(t, err, errBroken)
	g.cache = cache
	require.Equal(t, g.pool.Total(), g.pool.Free(), "all pages come back")
	write(t, g, f.requests(1)...)
}

var errBroken = errors.New("the device is lost")

// broken is a decoder whose device fails.
type broken struct{ decoder }

func (broken) Forward([]network.Run) ([]float32, error) { return nil, errBroken }
