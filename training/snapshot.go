package training

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"tempera/training/checkpoint"
	"tempera/training/device"
	"tempera/training/optim"
)

// snapshot is the state of a run at a step boundary, on the host. Its buffers
// are filled again and again.
type snapshot struct {
	memory  device.Memory
	live    []optim.Tensor
	tensors []checkpoint.Tensor // in the order of live
	step    int64               // steps that are done
	control string              // the run's decisions at that step, encoded
	seed    uint64
	digest  string
}

func newSnapshot(m device.Memory, c Config, live []optim.Tensor) (*snapshot, error) {
	s := &snapshot{memory: m, live: live, seed: c.Seed, digest: c.Digest}
	for _, t := range live {
		if t.Value.Desc().DType != device.Float32 {
			return nil, fmt.Errorf("state %s is %v: only float32 can be kept", t.Name, t.Value.Desc())
		}
		s.tensors = append(s.tensors, checkpoint.Float32(t.Name, t.Value.Shape(), make([]float32, t.Value.Size())))
	}
	return s, nil
}

// take copies the live state; step is the number of steps that are done.
func (s *snapshot) take(step int64, decisions string) error {
	for i, t := range s.live {
		if err := s.memory.DownloadFloats(s.tensors[i].Float32s(), t.Value); err != nil {
			return fmt.Errorf("copy %s for a checkpoint: %w", t.Name, err)
		}
	}
	s.step, s.control = step, decisions
	return nil
}

// restore makes the snapshot the live state.
func (s *snapshot) restore() error {
	for i, t := range s.live {
		if err := s.memory.UploadFloats(t.Value, s.tensors[i].Float32s()); err != nil {
			return fmt.Errorf("restore %s: %w", t.Name, err)
		}
	}
	return nil
}

// Metadata keys of a training checkpoint. Random numbers and the data order are
// functions of seed and step, so these two are all that they need.
const (
	metaFormat = "tempera.checkpoint"
	metaStep   = "tempera.step"
	metaSeed   = "tempera.seed"
	metaDigest = "tempera.digest"
	metaState  = "tempera.control"
)

// write serialises the snapshot.
func (s *snapshot) write(w io.Writer) error {
	return checkpoint.Write(w, map[string]string{
		metaFormat: "1",
		metaStep:   strconv.FormatInt(s.step, 10),
		metaSeed:   strconv.FormatUint(s.seed, 10),
		metaDigest: s.digest,
		metaState:  s.control,
	}, s.tensors)
}

// read fills the snapshot from a checkpoint.
func (s *snapshot) read(r io.Reader) error {
	f, err := checkpoint.NewStream(r)
	if err != nil {
		return err
	}
	meta := f.Metadata()
	step, err := strconv.ParseInt(meta[metaStep], 10, 64)
	if err != nil || step < 0 || meta[metaFormat] != "1" {
		return fmt.Errorf("%w: it is not a training checkpoint", checkpoint.ErrCorrupt)
	}
	if meta[metaDigest] != s.digest || meta[metaSeed] != strconv.FormatUint(s.seed, 10) {
		return fmt.Errorf("%w: it has the digest %q and the seed %s, this run %q and %d",
			ErrOtherConfig, meta[metaDigest], meta[metaSeed], s.digest, s.seed)
	}
	if err := f.Fill(s.tensors); err != nil {
		if errors.Is(err, checkpoint.ErrCorrupt) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrOtherConfig, err)
	}
	s.step, s.control = step, meta[metaState]
	return nil
}
