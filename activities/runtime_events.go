package activities

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of TensorBoard's Event and Summary messages
// (tensorboard/compat/proto/event.proto and summary.proto).
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	summaryValue     = 1
	valueTag         = 1
	valueSimple      = 2
)

// encodeEvents writes rows as a TensorBoard event file: TFRecords of Events.
func encodeEvents(rows []metricsRow) []byte {
	var b bytes.Buffer
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	writeRecord(&b, protowire.AppendString(version, "brain.Event:2"))
	for _, r := range rows {
		e := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
		e = protowire.AppendFixed64(e, math.Float64bits(r.time))
		e = protowire.AppendTag(e, eventStep, protowire.VarintType)
		e = protowire.AppendVarint(e, uint64(r.step))
		var summary []byte
		for _, name := range slices.Sorted(maps.Keys(r.values)) {
			v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
			v = protowire.AppendString(v, name)
			v = protowire.AppendTag(v, valueSimple, protowire.Fixed32Type)
			v = protowire.AppendFixed32(v, math.Float32bits(float32(r.values[name])))
			summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
			summary = protowire.AppendBytes(summary, v)
		}
		e = protowire.AppendTag(e, eventSummary, protowire.BytesType)
		writeRecord(&b, protowire.AppendBytes(e, summary))
	}
	return b.Bytes()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeRecord frames data as a TFRecord: length, its checksum, data, its
// checksum; checksums are masked CRC-32C.
func writeRecord(b *bytes.Buffer, data []byte) {
	masked := func(p []byte) uint32 {
		c := crc32.Checksum(p, castagnoli)
		return (c>>15 | c<<17) + 0xa282ead8
	}
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:8], uint64(len(data)))
	binary.LittleEndian.PutUint32(head[8:], masked(head[:8]))
	b.Write(head[:])
	b.Write(data)
	b.Write(binary.LittleEndian.AppendUint32(nil, masked(data)))
}
