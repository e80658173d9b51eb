//go:build gpu

package cuda

import (
	"slices"
	"testing"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
)

// filled makes all elements of an array x.
func filled[T float32 | int32](a []T, x T) []T {
	for i := range a {
		a[i] = x
	}
	return a
}

func TestUploadsFindWhatWasSentAheadUntilItIsForgotten(t *testing.T) {
	b := open(t, Mixed)
	const n = worthSending / device.WordBytes
	floats, ints, small := make([]float32, 3*n), make([]int32, n), make([]int32, n-1)
	sent := floats[:2*n] // what is behind it is not
	p, err := b.NewParcel(len(bytesOf(sent)) + len(bytesOf(ints)) + len(bytesOf(small)))
	check(t, err)
	narrow, err := device.New(b, device.Desc{DType: device.BFloat16, Shape: device.Shape{len(sent)}})
	check(t, err)
	uploaded := func(x []float32) float32 {
		v, err := device.FromFloats(b, x, len(x))
		check(t, err)
		got, err := device.ReadFloats(b, v)
		check(t, err)
		return got[len(got)-1]
	}
	for round := range int32(3) {
		old, change := round+1, float32(100)
		filled(floats, float32(old))
		filled(ints, old)
		filled(small, old)
		check(t, p.Send([][]float32{sent}, [][]int32{ints, small}))
		filled(floats, change) // nobody may; here it shows where an upload comes from
		filled(ints, int32(change))
		filled(small, int32(change))

		check(t, b.UploadFloats(narrow, sent))
		for name, c := range map[string]struct {
			x    []float32
			want float32
		}{
			"the array":           {sent, float32(old)},
			"a part":              {sent[100:n], float32(old)},
			"more than the array": {floats[n:], change},
			"what lies behind":    {floats[2*n:], change},
		} {
			if uploaded(c.x) != c.want {
				t.Errorf("%s is %v on the device, want %v", name, uploaded(c.x), c.want)
			}
		}
		for _, c := range []struct {
			x    []int32
			want int32
		}{{ints, old}, {small, int32(change)}} {
			v, err := device.New(b, device.Ints(len(c.x)))
			check(t, err)
			check(t, b.UploadInts(v, c.x))
			got, err := device.ReadInts(b, v)
			check(t, err)
			if got[7] != c.want {
				t.Errorf("%d integers are %d on the device, want %d", len(c.x), got[7], c.want)
			}
		}

		check(t, b.UploadFloats(narrow, sent))
		p.Forget()
		if got := uploaded(sent); got != change {
			t.Errorf("an array that is forgotten is %v on the device, want %v", got, change)
		}
	}
	check(t, p.Send([][]float32{filled(sent, 1)}, nil))
	check(t, b.UploadFloats(narrow, sent))
	p.Forget()
	check(t, p.Send([][]float32{filled(sent, 2)}, nil))
	check(t, b.device.Copies.Sync()) // the second sending is there
	got, err := device.ReadFloats(b, narrow)
	check(t, err)
	if got[0] != 1 || got[len(got)-1] != 1 {
		t.Errorf("an upload has %v of the array that was sent after it", got[0])
	}
	check(t, p.Free())
	if got := uploaded(sent); got != 2 {
		t.Errorf("without a parcel an upload has %v", got)
	}
}

// sendAll lets arrays of any size be sent.
func sendAll(l *training.Loop) { l.Backend.(*Backend).ahead.least = 1 }

func TestBatchesThatAreSentAheadTeachTheSame(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) {
			var planned training.Memory
			train := func(limit int64) ([]float64, string) {
				losses, digest, err := s.run(t, func(l *training.Loop) {
					sendAll(l)
					l.Config.Steps, l.Config.MemoryLimit = 3, limit
					l.Planned = func(m training.Memory) { planned = m }
				})
				check(t, err)
				return losses, digest
			}
			losses, digest := train(0)
			if planned.Ahead == 0 {
				t.Fatalf("there is room for batches, and the plan is %v", planned)
			}
			want, wantDigest := train(planned.Device() - planned.Ahead)
			if planned.Ahead > 0 || planned.Declined == 0 {
				t.Fatalf("there is no room for batches, and the plan is %v", planned)
			}
			if !slices.Equal(losses, want) || digest != wantDigest {
				t.Errorf("the losses are %v, of batches that are uploaded %v", losses, want)
			}
		})
	}
}

// spoiler clears the images of a batch before a step sees it.
type spoiler struct {
	training.Objective
	training.Sized
}

func (s spoiler) Step(step int64, b *training.Batch) (training.Metrics, error) {
	clear(b.Float32s(objective.Images, pairs*config(model.CLIP).Vision.Pixels()))
	return s.Objective.Step(step, b)
}

func TestAStepTakesItsImagesFromTheDevice(t *testing.T) {
	s := subjects()["clip"]
	train := func(spoils bool, least int) []float64 {
		losses, _, err := s.run(t, func(l *training.Loop) {
			l.Config.Steps, l.Backend.(*Backend).ahead.least = 3, least
			if spoils {
				l.Objective = spoiler{l.Objective, l.Objective.(training.Sized)}
			}
		})
		check(t, err)
		return losses
	}
	want := train(false, 1)
	if got := train(true, 1); !slices.Equal(got, want) {
		t.Errorf("the losses of images that are spoiled on the host after they were sent are %v, want %v", got, want)
	}
	if got := train(true, worthSending); slices.Equal(got, want) {
		t.Errorf("the losses of images that are spoiled on the host are %v", got)
	}
}
