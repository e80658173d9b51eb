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

// snapshot is the state of a run at a step boundary, on the host, or on the device
// until it is written. Its buffers are filled again and again.
type snapshot struct {
	memory  device.Memory
	live    []optim.Tensor
	clone   device.Clone        // nil: the state is copied to the host at once
	cloned  bool                // the clone has the state
	tensors []checkpoint.Tensor // in the order of live
	arrived bool                // they have the state
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

// onDevice lets the snapshot stay on the device, which must be Cloning, until it is written.
func (s *snapshot) onDevice() error {
	live := make([]*device.Value, len(s.live))
	for i, t := range s.live {
		live[i] = t.Value
	}
	var err error
	if s.clone, err = s.memory.(device.Cloning).NewClone(live); err != nil {
		return fmt.Errorf("memory for a copy of the state on %s: %w", s.memory.Name(), err)
	}
	return nil
}

// free gives memory of the device back.
func (s *snapshot) free() error {
	if s == nil || s.clone == nil {
		return nil
	}
	return s.clone.Free()
}

// take copies the live state; step is the number of steps that are done. The snapshot must not be being written.
func (s *snapshot) take(step int64, decisions string) error {
	s.step, s.control, s.cloned, s.arrived = step, decisions, s.clone != nil, false
	if !s.cloned {
		return s.fetch(func(to []float32, i int) error { return s.memory.DownloadFloats(to, s.live[i].Value) })
	}
	if err := s.clone.Take(); err != nil {
		return fmt.Errorf("copy the state on the device: %w", err)
	}
	return nil
}

// fetch makes the tensors the state.
func (s *snapshot) fetch(download func(to []float32, i int) error) error {
	for i, t := range s.live {
		if err := download(s.tensors[i].Float32s(), i); err != nil {
			return fmt.Errorf("copy %s for a checkpoint: %w", t.Name, err)
		}
	}
	s.arrived = true
	return nil
}

// restore makes the snapshot the live state.
func (s *snapshot) restore() error {
	if s.cloned {
		return s.clone.Restore()
	}
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

// write serialises the snapshot, which may still be on the device, while training goes on.
func (s *snapshot) write(w io.Writer) error {
	if !s.arrived {
		if err := s.fetch(s.clone.Download); err != nil {
			return err
		}
	}
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
	s.step, s.control, s.cloned, s.arrived = step, meta[metaState], false, true
	return nil
}
