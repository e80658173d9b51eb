package sample

import (
	"iter"
	"strings"
)

// Stream yields samples in a fixed order. It may be ranged over again and then
// yields the same samples. An error that is a *Fault concerns one item only and
// the stream goes on behind it; any other error ends the stream.
type Stream = iter.Seq2[Sample, error]

// Fault says that one item of a data set cannot be used. It is what gets
// quarantined: the rest of the data set is fine.
type Fault struct {
	Item   string // what was left out: a key, a file of an archive, a whole shard
	Reason string // one of the Reason constants
	Err    error  // the details
}

func (f *Fault) Error() string { return f.Item + ": " + f.Why() }

// Why is the reason with its details. Details that begin with the reason do not
// say it twice.
func (f *Fault) Why() string {
	if f.Err == nil {
		return f.Reason
	}
	return f.Reason + ": " + strings.TrimPrefix(f.Err.Error(), f.Reason+": ")
}

func (f *Fault) Unwrap() error { return f.Err }

// The reasons a Fault gives; reports count faults by them.
const (
	ReasonBroken     = "broken image"
	ReasonFormat     = "unknown image format"
	ReasonBomb       = "image too large when decoded"
	ReasonSize       = "file too large"
	ReasonPath       = "unsafe path"
	ReasonLink       = "link or device"
	ReasonDuplicate  = "duplicate key"
	ReasonNoImage    = "no image"
	ReasonNoCaption  = "no caption"
	ReasonCaption    = "caption is not text"
	ReasonFacts      = "facts are not JSON"
	ReasonArchive    = "broken archive"
	ReasonUnreadable = "unreadable"
)

// Faulty builds a Fault.
func Faulty(item, reason string, err error) *Fault {
	return &Fault{Item: item, Reason: reason, Err: err}
}
