package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"sync"
	"time"

	"tempera/infra/artifact"
)

// metricsLog keeps the step metrics of a stage in the order of the steps. Each
// checkpoint saves them beside it, so that an attempt that resumes, in this run
// or another, goes on with the metrics up to its resume point.
type metricsLog struct {
	owner *attempt

	mu     sync.Mutex
	rows   []metricsRow
	loaded bool
	dirty  bool
}

// metricsRow is one line of metrics.jsonl.
type metricsRow struct {
	step   int64
	time   float64 // seconds since 1970
	values map[string]float64
}

const metricsName = "metrics.jsonl"

func newMetricsLog(a *attempt) *metricsLog { return &metricsLog{owner: a} }

// Write implements MetricsWriter. It takes back every row from step on.
func (m *metricsLog) Write(step int64, values map[string]float64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.loaded {
		if err := m.load(); err != nil {
			return err
		}
	}
	at, _ := slices.BinarySearchFunc(m.rows, step, func(r metricsRow, s int64) int { return int(r.step - s) })
	now := float64(time.Now().UnixMilli()) / 1000
	m.rows = append(m.rows[:at], metricsRow{step, now, maps.Clone(values)})
	m.dirty = true
	return nil
}

// load reads the rows that were saved with the checkpoints of an earlier
// attempt.
func (m *metricsLog) load() (err error) {
	m.loaded = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, _, err := m.owner.runtime.Store.Read(ctx, m.owner.points.prefix+metricsName)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metrics before the resume point: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for d := json.NewDecoder(r); ; {
		var row metricsRow
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("metrics before the resume point: %w", err)
		}
		m.rows = append(m.rows, row)
	}
}

// save writes the rows beside the checkpoints and to the run folder.
func (m *metricsLog) save(ctx context.Context) error {
	data, ok := m.take()
	if !ok {
		return nil
	}
	if err := writeName(ctx, m.owner.runtime.Store, m.owner.points.prefix+metricsName, data); err != nil {
		return err
	}
	return m.publish(ctx, data)
}

// close writes the run folder's files a last time.
func (m *metricsLog) close(ctx context.Context) error {
	data, ok := m.take()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return m.publish(ctx, data)
}

// take encodes the rows if there are new ones.
func (m *metricsLog) take() (data []byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty {
		return nil, false
	}
	m.dirty = false
	var b bytes.Buffer
	for _, r := range m.rows {
		b.Write(r.line())
	}
	return b.Bytes(), true
}

func (m *metricsLog) publish(ctx context.Context, data []byte) error {
	q := m.owner.request
	m.mu.Lock()
	events := encodeEvents(m.rows)
	m.mu.Unlock()
	for _, f := range []struct {
		name string
		data []byte
	}{{metricsName, data}, {"events.out.tfevents.tempera", events}} {
		name := artifact.RunName(q.Pipeline, RunFolder(q.Run), path.Join(m.owner.name, f.name))
		if err := writeName(ctx, m.owner.runtime.Store, name, f.data); err != nil {
			return err
		}
	}
	return nil
}

// line is the row as one line of JSON: step and time, then the metrics in the
// order of their names. What JSON cannot say is written as a string.
func (r metricsRow) line() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"step":%d,"time":%.3f`, r.step, r.time)
	for _, name := range slices.Sorted(maps.Keys(r.values)) {
		key, _ := json.Marshal(name) // a string always encodes
		v := r.values[name]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			fmt.Fprintf(&b, `,%s:"%v"`, key, v)
			continue
		}
		number, _ := json.Marshal(v) // finite
		fmt.Fprintf(&b, `,%s:%s`, key, number)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// UnmarshalJSON reads what line writes.
func (r *metricsRow) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	r.values = make(map[string]float64, len(all))
	for name, raw := range all {
		var v float64
		var text string
		if json.Unmarshal(raw, &text) == nil {
			v = map[string]float64{"+Inf": math.Inf(1), "-Inf": math.Inf(-1), "NaN": math.NaN()}[text]
		} else if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
		switch name {
		case "step":
			r.step = int64(v)
		case "time":
			r.time = v
		default:
			r.values[name] = v
		}
	}
	return nil
}
