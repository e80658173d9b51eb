package metrics

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
)

// JSONL appends one line {"step": 7, "loss": 2.31, ...} per step to a file. Keys
// are sorted.
type JSONL struct {
	f *os.File
}

// OpenJSONL opens a file for appending. Lines of the step from and later, and a
// line that was cut off, are removed first.
func OpenJSONL(path string, from int64) (*JSONL, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	end, err := keep(f, from)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open metrics %s: %w", path, err), f.Close())
	}
	return &JSONL{f}, nil
}

// keep returns the length of the whole lines of steps before from.
func keep(r io.Reader, from int64) (int64, error) {
	lines := bufio.NewReader(r)
	var end int64
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		var l struct{ Step *int64 }
		if json.Unmarshal(line, &l) != nil || l.Step == nil || *l.Step >= from {
			return end, nil
		}
		end += int64(len(line))
	}
}

// Write appends a line. Values must be finite.
func (j *JSONL) Write(step int64, values map[string]float64) error {
	line := make(map[string]any, len(values)+1)
	for k, v := range maps.All(values) {
		line[k] = v
	}
	line["step"] = step
	raw, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write metrics of step %d: %w", step, err)
	}
	if _, err := j.f.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("write metrics of step %d: %w", step, err)
	}
	return nil
}

// Close closes the file.
func (j *JSONL) Close() error { return j.f.Close() }
