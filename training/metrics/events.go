package metrics

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Events writes a TensorBoard event file: TFRecords, each a length, its checksum,
// an Event message of protocol buffers and its checksum. Files are called
// events.out.tfevents.<anything>.
type Events struct {
	w   io.Writer
	now func() time.Time
}

// NewEvents writes the head of a file to w. now gives the wall time of events;
// nil is the clock.
func NewEvents(w io.Writer, now func() time.Time) (*Events, error) {
	if now == nil {
		now = time.Now
	}
	e := &Events{w, now}
	event := appendDouble(nil, fieldWallTime, e.wallTime())
	return e, e.record(appendBytes(event, fieldVersion, []byte("brain.Event:2")))
}

// Fields of the messages Event, Summary and Summary.Value (tensorflow/core/util/event.proto
// and framework/summary.proto).
const (
	fieldWallTime = 1 // Event: double
	fieldStep     = 2 // Event: int64
	fieldVersion  = 3 // Event: string
	fieldSummary  = 5 // Event: Summary
	fieldValue    = 1 // Summary: repeated Value
	fieldTag      = 1 // Value: string
	fieldSimple   = 2 // Value: float
)

// Write writes the scalars of a step, in the order of their names.
func (e *Events) Write(step int64, values map[string]float64) error {
	var summary []byte
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := appendBytes(nil, fieldTag, []byte(name))
		value = appendFloat(value, fieldSimple, float32(values[name]))
		summary = appendBytes(summary, fieldValue, value)
	}
	event := appendDouble(nil, fieldWallTime, e.wallTime())
	event = binary.AppendUvarint(append(event, fieldStep<<3), uint64(step))
	return e.record(appendBytes(event, fieldSummary, summary))
}

func (e *Events) wallTime() float64 { return float64(e.now().UnixMicro()) / 1e6 }

// record frames data as a TFRecord.
func (e *Events) record(data []byte) error {
	frame := binary.LittleEndian.AppendUint64(make([]byte, 0, len(data)+16), uint64(len(data)))
	frame = binary.LittleEndian.AppendUint32(frame, maskedCRC(frame))
	frame = append(frame, data...)
	frame = binary.LittleEndian.AppendUint32(frame, maskedCRC(data))
	if _, err := e.w.Write(frame); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, rotated and offset, so that a checksum of data that holds
// checksums stays a good one.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Wire types of protocol buffers.
const (
	wire64    = 1
	wireBytes = 2
	wire32    = 5
)

func appendDouble(b []byte, field int, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, byte(field<<3|wire64)), math.Float64bits(v))
}

func appendFloat(b []byte, field int, v float32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, byte(field<<3|wire32)), math.Float32bits(v))
}

func appendBytes(b []byte, field int, v []byte) []byte {
	b = binary.AppendUvarint(append(b, byte(field<<3|wireBytes)), uint64(len(v)))
	return append(b, v...)
}
