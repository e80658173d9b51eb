//go:build gpu

package generate

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/network"
	"tempera/training/device"
	"tempera/training/device/cuda"
	"tempera/training/device/cuda/driver"
	"tempera/training/model"
)

// opened is a GPU. Without one the test is skipped, or fails with REQUIRE_GPU.
func opened(t *testing.T, p cuda.Precision) *cuda.Backend {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	b, err := cuda.Open(cuda.Options{Precision: p})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// onDevice is a generator of the same weights on a GPU.
func (f fixture) onDevice(t *testing.T, b device.Paged, o Options) *Generator {
	t.Helper()
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
				got, err := f.onDevice(t, opened(t, precision), Options{Prefill: 16}).Score(t.Context(), texts)
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
			g := f.onDevice(t, opened(t, cuda.Full), Options{})
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

// watched counts the steps that a device records and replays, and what comes back from it as floats.
type watched struct {
	*cuda.Backend
	recorded, replayed int
	downloads          int
}

func (w *watched) DownloadFloats(dst []float32, src *device.Value) error {
	w.downloads++
	return w.Backend.DownloadFloats(dst, src)
}

type watchedRecording struct {
	device.Recording
	of *watched
}

func (w *watched) Recorded() (device.Recording, error) {
	w.recorded++
	r, err := w.Backend.Recorded()
	return watchedRecording{r, w}, err
}

func (r watchedRecording) Replay() error {
	r.of.replayed++
	return r.Recording.Replay()
}

// Texts that a device chooses the tokens of are those that the CPU chooses, also where its steps are recorded, and after other weights.
func TestRecordedStepsWriteTheSame(t *testing.T) {
	t.Setenv("TEMPERA_NO_CUDA_GRAPHS", "")
	for _, form := range []string{"blip", "experts"} {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{})
			var requests []Request
			for i, s := range []Search{{}, {Temperature: 1}, {Temperature: 1.3, TopK: 9}, {Temperature: 2, TopP: 0.9}, {Temperature: 1.5, TopK: 30, TopP: 0.8, MinP: 0.1}} {
				requests = append(requests, Request{
					Prompt: f.prompt(int32(i+5), 7, 9), Image: f.image(uint64(i)), Samples: min(2, 1+i), Seed: uint64(i), Search: s, MaxTokens: 12, MinTokens: 8 + i, Suppress: []int32{2, 3},
				})
			}
			w := &watched{Backend: opened(t, cuda.Full)}
			g := f.onDevice(t, w, Options{})
			same := func(f fixture) {
				want, got := write(t, f.Generator, requests...), write(t, g, requests...)
				for i := range want {
					for k, text := range want[i].Texts {
						other := got[i].Texts[k]
						require.Equal(t, text.Tokens, other.Tokens, "request %d, sample %d", i, k)
						require.InDeltaSlice(t, text.LogProbs, other.LogProbs, 2e-3)
						require.InDeltaSlice(t, text.SampledLogProbs, other.SampledLogProbs, 2e-3)
					}
				}
			}
			same(f)
			require.Positive(t, w.recorded)
			require.Greater(t, w.replayed, 4)
			change := func() {
				for _, s := range f.config.Params() {
					v, err := f.weights.Get(s.Name)
					require.NoError(t, err)
					for i := range v {
						v[i] *= 0.9
					}
				}
				require.NoError(t, f.Load(t.Context(), f.weights.Get))
			}
			change()
			require.NoError(t, g.Load(t.Context(), f.weights.Get))
			same(f)
			change()
			m, err := model.Load(w, f.weights)
			require.NoError(t, err)
			recorded := w.recorded
			require.NoError(t, g.Follow(t.Context(), m))
			same(f)
			require.Equal(t, recorded, w.recorded, "the weights are where they were")
		})
	}
}

// TestAGeneratorFollowsAModelOnItsDevice: as if the parameters had come from the host, but for the rounding of products where low-rank changes are merged.
func TestAGeneratorFollowsAModelOnItsDevice(t *testing.T) {
	for form := range forms() {
		for precision, tolerance := range map[cuda.Precision]float64{cuda.Full: 1e-4, cuda.Mixed: 0.1} {
			t.Run(form+", "+string(precision), func(t *testing.T) {
				f := newFixture(t, form, Options{})
				w := &watched{Backend: opened(t, precision)}
				host := f.onDevice(t, w, Options{})
				m, err := model.Load(w, f.weights)
				require.NoError(t, err)
				other := f.onDevice(t, w, Options{})
				require.NoError(t, other.Load(t.Context(), func(name string) ([]float32, error) {
					values, err := f.weights.Get(name)
					return make([]float32, len(values)), err
				}))
				require.NoError(t, other.Follow(t.Context(), m))
				require.Zero(t, w.downloads, "weights pass the host")

				texts := []Scored{f.scored(9)}
				want, err := host.Score(t.Context(), texts)
				require.NoError(t, err)
				got, err := other.Score(t.Context(), texts)
				require.NoError(t, err)
				if f.config.LoRA == nil {
					require.Equal(t, want, got)
				}
				require.InDeltaSlice(t, want[0], got[0], tolerance)
			})
		}
	}
}

// TestAGeneratorFollowsAModelElsewhere: by the host.
func TestAGeneratorFollowsAModelElsewhere(t *testing.T) {
	f := newFixture(t, "low-rank changes", Options{})
	m, err := model.Load(f.backend, f.weights)
	require.NoError(t, err)
	g := f.onDevice(t, opened(t, cuda.Full), Options{})
	require.NoError(t, g.Follow(t.Context(), m))
	want, err := f.Score(t.Context(), []Scored{f.scored(9)})
	require.NoError(t, err)
	got, err := g.Score(t.Context(), []Scored{f.scored(9)})
	require.NoError(t, err)
	require.InDeltaSlice(t, want[0], got[0], 1e-3)
}

func TestAFaultOfTheDeviceEndsTheRequests(t *testing.T) {
	f := newFixture(t, "llama", Options{})
	g := f.onDevice(t, opened(t, cuda.Full), Options{})
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

func (broken) Forward([]network.Run) (network.Output, error) { return network.Output{}, errBroken }
